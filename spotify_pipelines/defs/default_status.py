"""Whether schedules and sensors run until somebody switches them: the one place that says so.

What an operator switched is stored on the instance and goes before this.
"""

import dagster as dg

__all__ = ["schedule_status", "sensor_status"]

_ON = True


def schedule_status() -> dg.DefaultScheduleStatus:
    """What a schedule is that nobody has switched yet."""
    return dg.DefaultScheduleStatus.RUNNING if _ON else dg.DefaultScheduleStatus.STOPPED


def sensor_status() -> dg.DefaultSensorStatus:
    """What a sensor is that nobody has switched yet."""
    return dg.DefaultSensorStatus.RUNNING if _ON else dg.DefaultSensorStatus.STOPPED
