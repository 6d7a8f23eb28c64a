"""The table: row by row on the terminal, and as files."""

import json

from figures import BROKEN

HEADER = ("scenario", "rows", "sent", "ok", "refused", "worst pause", "p99", "RSS max", "verdict")


def _cells(row):
    totals = row.totals or {}
    unary = totals.get("unary", {})
    return (
        row.what,
        row.complaints,
        str(totals.get("sent", "")),
        str(totals.get("ok", "")),
        str(totals.get("refused_count", "")),
        f"{totals['longest_pause_ms']:.0f} ms" if totals else "",
        f"{unary['p99_us'] / 1000:.1f} ms" if unary.get("count") else "",
        f"{row.rss_mib:.0f} MiB" if row.rss_mib else "",
        row.verdict,
    )


def show(row):
    """One row as it comes, with everything that was found."""
    what, complaints, sent, ok, refused, pause, p99, rss, verdict = _cells(row)
    print(f"\n{verdict:7} {what}" + (f"  (rows {complaints})" if complaints else ""))
    if row.totals:
        memory = f", RSS {rss}" if rss else ""
        print(f"        sent {sent} = ok {ok} + refused {refused}; worst pause {pause}, p99 {p99}{memory}")
    for sign, texts in (("!", row.broken), ("?", row.missed), (" ", row.notes)):
        for text in texts:
            print(f"      {sign} {text}", flush=True)


def table(rows):
    """All rows as a Markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(rows, folder, about):
    """`report.md` and `report.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    details = [
        f"- **{row.what}** ({row.verdict}): " + "; ".join([*row.broken, *row.missed, *row.notes]) for row in rows
    ]
    text = "\n".join([f"# Under fire\n\n{about}\n", table(rows), "", *details, ""])
    (folder / "report.md").write_text(text)
    entries = [
        {
            "scenario": row.scenario,
            "complaints": row.complaints,
            "what": row.what,
            "verdict": row.verdict,
            "broken": row.broken,
            "missed": row.missed,
            "notes": row.notes,
            "rss_mib": row.rss_mib,
            "totals": row.totals,
        }
        for row in rows
    ]
    (folder / "report.json").write_text(json.dumps({"about": about, "rows": entries}, indent=1))


def failed(rows):
    return [row for row in rows if row.verdict == BROKEN]
