"""Index recipes as data: one TOML file each, installed as ``vsearch.recipes``."""
