"""AWS weather: what an emulator leaves out of AWS's behaviour, from one seeded model, on two ways in.

`Weather` (model.py) decides; `under_boto3` (in_process.py) puts a process's own SDK under it; `layer` (layer.py) is a
layer of `sandbox.proxy`, and `python -m sandbox.weather` a proxy for any client of any language.
"""

from sandbox.weather.forecasts import FORECASTS, Forecast
from sandbox.weather.in_process import under_boto3
from sandbox.weather.layer import layer
from sandbox.weather.model import Weather

__all__ = ["FORECASTS", "Forecast", "Weather", "layer", "under_boto3"]
