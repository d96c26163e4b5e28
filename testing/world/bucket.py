"""The bucket: what S3 stores under each key, with the truth that S3 does not tell: when an upload was finished."""

from __future__ import annotations

from dataclasses import dataclass, field

from testing.sweep.tenant_data import ObjectVersion, TenantData
from testing.world.clock import WorldClock


@dataclass(frozen=True)
class Upload(ObjectVersion):
    """finished, moment: when it came to be."""

    finished: float = 0.0
    moment: int = 0


@dataclass(frozen=True)
class UploadInParts:
    """An incomplete multipart upload. initiated: true time. awaited: the application is about to complete it."""

    key: str
    upload_id: str
    initiated: float
    awaited: bool


@dataclass
class Bucket(TenantData):
    """One bucket, on S3's clock.

    awaited: keys whose upload is finished and whose record the application is about to write, and since when.
    in_parts: incomplete uploads, by their ID. conditions: as `testing.world.setting` says.
    """

    clock: WorldClock = field(default_factory=WorldClock)
    awaited: dict[str, int] = field(default_factory=dict)
    in_parts: dict[str, UploadInParts] = field(default_factory=dict)

    def put(self, key: str, body: bytes, *, at: float) -> Upload:
        """A plain upload, finished at once."""
        return self.finish(key, body, began=at, parts=0)

    def finish(self, key: str, body: bytes, *, began: float, parts: int) -> Upload:
        one = Upload(
            self._id(), began, body, finished=self.clock.now, moment=self.clock.tick(), parts=parts
        )  # fmt: skip
        self._add(key, one)
        return one

    def begin_in_parts(self, key: str, *, awaited: bool) -> str:
        upload = UploadInParts(key, f"upload-{self.clock.tick()}", self.clock.now, awaited)
        self.in_parts[upload.upload_id] = upload
        return upload.upload_id

    def put_marker(self, key: str) -> str:
        one = Upload(
            self._id(), self.clock.now, b"", is_marker=True, finished=self.clock.now, moment=self.clock.tick()
        )  # fmt: skip
        self._add(key, one)
        return one.version_id

    def destroy(self, key: str, version_id: str) -> ObjectVersion | None:
        """Removes one version for good; returns it if it was there."""
        versions = self.objects.get(key, [])
        removed = next((one for one in versions if one.version_id == version_id), None)
        if removed is not None:
            versions.remove(removed)
            self.clock.tick()
        if not versions:
            self.objects.pop(key, None)
        return removed

    def is_there(self, key: str) -> bool:
        return self.current(key) is not None

    def data(self, key: str) -> list[Upload]:
        """Every version of the key that holds a file; markers hold none."""
        return [one for one in self.objects.get(key, ()) if isinstance(one, Upload) and not one.is_marker]
