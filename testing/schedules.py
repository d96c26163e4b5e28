"""Schedules and time zones that the CronJob API accepts, and that it refuses: tests/cluster asks it.

tests/unit holds our own reading of a schedule against the same lists, without an API server.
"""

from __future__ import annotations

ACCEPTED = (
    "17 3 * * *", "0 0 * * 0", "0 0 * * 6", "0 0 * * SUN", "0 0 * * mon-Fri", "0 0 1 JAN *", "0 0 1 jan-dec *",
    "*/5 * * * *", "*/90 * * * *", "5/20 * * * *", "0-30/10 8-18 * * MON,WED,5", "? ? ? ? ?", "0 3 ?/2 * *",
    "05 03 01 01 *", "0 0 1,15 * *", "0 0 31 * *", "0 0 31 2 MON", "59 23 31 12 6", "0 0 1-31/7 * *", "*/1 * * * *",
)  # fmt: skip
"""By the API server, and by the definition."""

REFUSED = (
    "0 0 * * 7", "0 0 * * Monday", "0 0 L * *", "0 0 * * 5L", "0 0 * * 1#2", "0 0 15W * *", "60 * * * *",
    "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * 0 *", "0 0 * XYZ *", "0 0 * * MONDAY-FRIDAY",
    "30-10 * * * *", "0 0 * * FRI-MON", "*/0 * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "a * * * *", "* * * *",
    "* * * * * *", "TZ=UTC * * * *", "TZ=UTC 0 0 * * *", "CRON_TZ=UTC 0 0 * * *", "@fortnightly", "-1 * * * *",
    "1- * * * *", "0 0 * MON *", "H 3 * * *",
)  # fmt: skip
"""By the API server; what the definition lets pass (a range that ends before it begins) is refused by the operator."""

NEVER = (
    "0 3 31 2 *", "0 3 30 FEB *", "0 3 30,31 2 ?", "0 3 29 2 *", "0 3 31 4,6,9,11 *", "0 3 30-31 2 *", "0 3 31 2 */1"
)  # fmt: skip
"""The API server takes these; no sweep would come, or not in every year."""

NEEDLESS = ("@daily", "@every 1h", "+5 * * * *", "1,,2 * * * *", "*-5 * * * *", "0  3 * * *", "*/1000 * * * *")
"""The API server takes these too; we do not, and none is needed."""

ZONES = ("Etc/UTC", "UTC", "America/Los_Angeles", "America/Argentina/Buenos_Aires", "CST6CDT", "EST", "US/Pacific")
NO_ZONES = ("CST", "PST", "Local", "America", "Pacific Time", "GMT+1", "America/", "/UTC", "UTC+5")
"""By both the API server and the definition."""

UNKNOWN_ZONE = "America/Los_Angles"
"""Only by the API server."""
