"""The common model: what is pulled (`records`), what is written (`fields`), what is computed (`results`)."""
