"""Everything that imports Dagster: partitions, assets, checks, jobs, sensors, status. Thin; decisions live below."""
