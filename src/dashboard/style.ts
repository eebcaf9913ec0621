/** The page's style: light and dark by the reader's preference, one column on a narrow screen. */
export const style = `
:root {
  --page: #f5f6f8; --card: #fff; --line: #dfe3e8; --ink: #18202b; --quiet: #5b6675;
  --accent: #0b5cad; --on-accent: #fff; --good: #16743b; --good-soft: #e3f4e9;
  --bad: #b3261e; --bad-soft: #fdeceb; --warn: #8a5300; --warn-soft: #fdf1de; --field: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10151c; --card: #181f29; --line: #2c3643; --ink: #e6eaf0; --quiet: #98a4b3;
    --accent: #6db3f8; --on-accent: #0b1a2a; --good: #6fd394; --good-soft: #16301f;
    --bad: #ff8f86; --bad-soft: #3a1b1a; --warn: #f0b95b; --warn-soft: #33270f; --field: #10151c;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 0.95rem/1.45 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 1rem; margin-bottom: 1rem; }
h1 { font-size: 1.35rem; margin: 0; letter-spacing: -0.01em; display: flex; align-items: center; gap: 0.55rem; }
.mark { width: 1.1rem; height: 1.1rem; background: var(--accent); clip-path: polygon(50% 0, 100% 80%, 60% 80%, 60% 100%, 40% 100%, 40% 80%, 0 80%); }
h2 { font-size: 1rem; margin: 0 0 0.75rem; }
small { color: var(--quiet); font-weight: 400; font-size: 0.85em; }
.where { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
.where strong { color: var(--ink); }
.quiet { color: var(--quiet); margin: 0; }
.pill { margin: 0 0 0 auto; padding: 0.15rem 0.7rem; border-radius: 1rem; border: 1px solid var(--line); font-size: 0.85rem; color: var(--quiet); }
.good { color: var(--good); } .pill.good { background: var(--good-soft); border-color: transparent; }
.bad { color: var(--bad); } .pill.bad { background: var(--bad-soft); border-color: transparent; }
.warn { color: var(--warn); } .pill.warn { background: var(--warn-soft); border-color: transparent; }
.banner { background: var(--bad-soft); color: var(--bad); border-radius: 0.5rem; padding: 0.6rem 0.9rem; margin: 0 0 1rem; }
main { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1rem; align-items: start; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem; padding: 1rem; min-width: 0; }
.wide { grid-column: 1 / -1; }
@media (max-width: 46rem) { main { grid-template-columns: minmax(0, 1fr); } .pill { margin-left: 0; } }
label { display: block; font-weight: 600; margin-bottom: 0.25rem; }
input, textarea { width: 100%; font: 0.9rem/1.4 ui-monospace, monospace; color: inherit; background: var(--field);
  border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.5rem 0.6rem; margin-bottom: 0.75rem; resize: vertical; }
::placeholder { color: var(--quiet); opacity: 0.7; }
.buttons { display: flex; gap: 0.5rem; }
button { font: inherit; font-weight: 600; padding: 0.5rem 1.1rem; border-radius: 0.4rem; border: 1px solid var(--line);
  background: var(--card); color: var(--ink); cursor: pointer; }
button.main { background: var(--accent); color: var(--on-accent); border-color: transparent; }
button:hover { border-color: var(--accent); }
button:disabled { opacity: 0.55; cursor: progress; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.result { margin-top: 1rem; border-top: 1px solid var(--line); padding-top: 0.9rem; min-height: 4rem; }
.result h3 { margin: 0 0 0.4rem; font-size: 0.95rem; }
.result p { margin: 0 0 0.5rem; overflow-wrap: anywhere; }
.live { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.6rem; margin: 0 0 0.6rem; font-size: 0.88rem; overflow-wrap: anywhere; }
.live .state { white-space: normal; } .live .state.good::before { animation: pulse 2.4s ease-in-out infinite; }
.try .live { margin: 1rem 0 -0.25rem; }
.result.changed, tr.changed { animation: changed 1.6s ease-out; }
@keyframes changed { from { background: var(--good-soft); } }
.result.changed { animation-name: changed-wide; }
@keyframes changed-wide { from { background: var(--good-soft); box-shadow: 0 0 0 0.45rem var(--good-soft); } }
@keyframes pulse { 50% { opacity: 0.35; } }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }
.stack { display: grid; gap: 1rem; min-width: 0; }
.line { display: flex; gap: 0.5rem; align-items: start; } .line input { flex: 1; min-width: 0; }
.told { font-size: 0.92rem; }
.keys { max-height: 22rem; overflow: auto; }
.keys td { font-size: 0.88rem; padding-top: 0.3rem; padding-bottom: 0.3rem; }
/* Beside keys and values in a fixed width. */
.keys td.number { padding-top: 0.25rem; }
.keys td:first-child { min-width: 6.5rem; }
.found p { margin: 0 0 0.6rem; font-size: 0.92rem; overflow-wrap: anywhere; } .found h3 { margin: 0 0 0.4rem; font-size: 0.95rem; }
.keys th { position: sticky; top: 0; background: var(--card); }
.keys .text { font-family: ui-monospace, monospace; }
button.link { all: unset; cursor: pointer; color: var(--accent); font: 0.88rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
button.link:hover { text-decoration: underline; }
button.link:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
pre { margin: 0 0 0.6rem; padding: 0.6rem; max-height: 16rem; overflow: auto; background: var(--page); border-radius: 0.4rem;
  font: 0.85rem/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.1rem 0.9rem; margin: 0; font-size: 0.88rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 500; color: var(--quiet); font-size: 0.85rem; padding: 0 0.4rem 0.35rem 0; }
td { padding: 0.45rem 0.4rem 0.45rem 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td small { display: block; }
td.number { padding: 0.45rem 0 0.45rem 0.6rem; }
th.number { padding-right: 0; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
.state { white-space: nowrap; }
.state::before, .replica::before { content: ""; display: inline-block; width: 0.55rem; height: 0.55rem; border-radius: 50%; background: currentColor; margin-right: 0.4rem; }
.grid { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.6rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.grid > li { border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.55rem 0.65rem; font-size: 0.85rem; min-width: 0; }
.grid > li.lost { border-color: var(--bad); background: var(--bad-soft); }
.grid h3 { display: flex; justify-content: space-between; gap: 0.5rem; margin: 0; font-size: 0.95rem; }
.grid h3 span:first-child { color: var(--quiet); font-weight: 500; }
.grid p { margin: 0; color: var(--quiet); font-variant-numeric: tabular-nums; }
.replicas { list-style: none; margin: 0.35rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 0.7rem; }
.replica { white-space: nowrap; } .replica::before { width: 0.45rem; height: 0.45rem; margin-right: 0.3rem; }
progress { width: 6rem; max-width: 100%; height: 0.5rem; accent-color: var(--accent); vertical-align: middle; }
a { color: inherit; }
footer { color: var(--quiet); font-size: 0.85rem; margin: 1rem 0; }
`;
