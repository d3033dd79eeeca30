"""What the embedded journal costs: ``./dev bench``. ``docs/benchmarks.md`` says what each figure means."""
