"""The look of the contact sheet, 360 to 1600 px wide, light and dark."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f5f2; --card: #ffffff; --well: #eceae5; --mat: #ffffff; --ink: #1d1c1a; --soft: #6d6a64; --line: #dedbd4;
  --accent: #b3541e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #151618; --card: #1f2124; --well: #292c30; --mat: #292c30; --ink: #eceae6; --soft: #9b9a96; --line: #33363b;
    --accent: #f0a35e;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1600px; padding: clamp(12px, 3vw, 40px);
  background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header { margin-bottom: clamp(16px, 3vw, 36px); color: var(--soft); }
header h1 { margin: 0; font-size: 15px; font-weight: 600; letter-spacing: .02em; }
header p, .none { margin: 2px 0 0; font-size: 13px; }
section { margin-bottom: clamp(28px, 5vw, 56px); }
h2 {
  margin: 0 0 14px; font-size: clamp(20px, 3vw, 30px); line-height: 1.2; font-weight: 650;
  letter-spacing: -.01em; overflow-wrap: anywhere;
}
h2 small { margin-left: .5em; font-size: 13px; font-weight: 400; letter-spacing: 0; color: var(--soft); }
ol {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, max(150px, 15%)), 1fr));
  gap: clamp(8px, 1.2vw, 18px); margin: 0; padding: 0; list-style: none;
}
li { min-width: 0; }
figure {
  display: flex; flex-direction: column; height: 100%; margin: 0; overflow: hidden;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
}
.well {
  display: grid; grid-template: minmax(0, 1fr) / minmax(0, 1fr); place-items: center;
  aspect-ratio: 1; min-height: 0; overflow: hidden; flex: none; padding: 8px;
  background: var(--well); color: var(--soft); font-size: 13px; text-align: center;
}
.well img {
  display: block; max-width: 100%; max-height: 100%; width: auto; height: auto; min-width: 0; min-height: 0;
  border-radius: 6px;
}
.well:has(img) { background: var(--mat); }
.bar { display: block; width: 100%; height: 3px; background: var(--line); }
.bar rect { fill: var(--accent); }
figcaption { display: flex; flex-direction: column; gap: 4px; padding: 9px 11px 11px; flex: 1; }
.words {
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
  overflow-wrap: anywhere;
}
.facts { display: flex; gap: 8px; margin-top: auto; font-size: 12px; color: var(--soft); min-width: 0; }
.facts b { color: var(--accent); font-variant-numeric: tabular-nums; }
.facts a { color: inherit; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; flex: 1; min-width: 0; }
.facts a:not(:hover) { text-decoration: none; }
@media (max-width: 480px) { ol { grid-template-columns: repeat(2, minmax(0, 1fr)); } body { font-size: 14px; } }
@media print { .well, figure { break-inside: avoid; } }
"""
