"""The page of a run: its settings, its figures, its pictures."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

__all__ = ["pictures_of", "write_page"]

STYLE = """body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0}img{max-width:100%}"""


def pictures_of(run: Path) -> list[Path]:
    """Returns the PNGs and GIFs of a run folder, sorted by name."""
    return sorted(path for path in run.iterdir() if path.suffix in (".png", ".gif"))


def write_page(run: Path, title: str, settings: Mapping[str, object], figures: Mapping[str, float]) -> None:
    """Writes `report.html` into the run folder, with the settings, the figures and links to the folder's pictures."""

    def table(rows: Mapping[str, object]) -> str:
        cells = "".join(f"<tr><td>{escape(str(k))}<td>{escape(str(v))}" for k, v in rows.items())
        return f"<table>{cells}</table>"

    pictures = "".join(
        f'<h2>{escape(path.stem.replace("_", " "))}</h2><img src="{escape(path.name)}" alt="">'
        for path in pictures_of(run)
    )
    rounded = {name.replace("_", " "): f"{value:.5g}" for name, value in figures.items()}
    (run / "report.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1><h2>Figures</h2>{table(rounded)}{pictures}<h2>Settings</h2>{table(settings)}\n"
    )
