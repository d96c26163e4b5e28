"""AWS weather: what an emulator leaves out of AWS's behaviour, from one seeded model, on two ways in.

It exists because an emulator answers at once, always, and alike: AWS throttles, fails, loses answers, shows roles and
streams late, and takes seconds to make a function active. An operator that was tried on the emulator alone has met none
of it. The same seed has the same weather again.

model.py       decides what happens to a call: `Weather`
calls.py       a call as the model sees it, the same on both ways in
forecasts.py   what weather there is, by name
refusals.py    what AWS refuses calls with, in its own words
objects.py     what Lambda, IAM and DynamoDB take their time for
answers.py     AWS's errors, in the protocol of each service
in_process.py  a way in for a process's own SDK: `under_boto3`
layer.py       a way in for any client: a layer of `sandbox.proxy`; `python -m sandbox.weather` is a proxy with it
"""

from sandbox.weather.forecasts import FORECASTS, Forecast
from sandbox.weather.in_process import under_boto3
from sandbox.weather.layer import layer
from sandbox.weather.model import Weather

__all__ = ["FORECASTS", "Forecast", "Weather", "layer", "under_boto3"]
