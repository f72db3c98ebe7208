"""The baseline of ``memory``: a run of nine assets that do nothing, on the instance and executor of the real ones.

Run as a process of its own; DAGSTER_HOME names the instance.
"""

import sys

import dagster as dg


def _chain(length: int) -> list[dg.AssetsDefinition]:
    assets: list[dg.AssetsDefinition] = []
    for number in range(length):

        @dg.asset(name=f"empty_{number}", deps=assets[-1:])
        def empty() -> None: ...

        assets.append(empty)
    return assets


def main() -> int:
    """Run them; the exit status."""
    job = dg.Definitions(
        assets=_chain(9),
        jobs=[dg.define_asset_job("nine_empty_assets")],
        executor=dg.in_process_executor,
    ).get_job_def("nine_empty_assets")
    with dg.DagsterInstance.get() as instance:
        return 0 if job.execute_in_process(instance=instance, raise_on_error=False).success else 1


if __name__ == "__main__":
    sys.exit(main())
