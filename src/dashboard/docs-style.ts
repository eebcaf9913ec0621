/** The style of the page at `/docs`: that of the page at `/`, and what a long text needs beside it. */
import { style } from './style.ts';

export const docsStyle = `${style}
body.docs { max-width: 78rem; }
.docs a { color: var(--accent); text-underline-offset: 0.15em; }
.docs code { font: 0.9em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; top: 0.5rem; background: var(--card); padding: 0.4rem 0.8rem; }
.elsewhere { margin: 0 0 0 auto; display: flex; gap: 1rem; }
.columns { display: grid; grid-template-columns: 19rem minmax(0, 1fr); gap: 1.5rem; align-items: start; }
.columns main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; }
nav { position: sticky; top: 1rem; max-height: calc(100vh - 2rem); overflow: auto; padding: 0.25rem; font-size: 0.85rem; }
nav h2 { font-size: 0.8rem; margin: 1rem 0 0.3rem; } nav h2:first-child { margin-top: 0; }
nav h2 a { color: var(--quiet) !important; text-decoration: none; text-transform: capitalize; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: flex; gap: 0.5rem; align-items: baseline; padding: 0.2rem 0.35rem; border-radius: 0.3rem; color: var(--ink) !important; text-decoration: none; overflow-wrap: anywhere; }
nav li a:hover { background: var(--card); }
section > h2 { text-transform: capitalize; font-size: 1.15rem; } #introduction > h2 { text-transform: none; }
section > p { margin: 0 0 0.75rem; max-width: 65ch; }
article { border-top: 1px solid var(--line); padding: 1.1rem 0 0.4rem; scroll-margin-top: 0.5rem; }
article:target > h3 { background: var(--good-soft); box-shadow: 0 0 0 0.4rem var(--good-soft); border-radius: 0.2rem; }
article h3 { display: flex; flex-wrap: wrap; gap: 0.2rem 0.8rem; align-items: baseline; margin: 0 0 0.5rem; font-size: 1rem; }
article h3 .path { color: var(--ink); text-decoration: none; display: flex; gap: 0.55rem; align-items: baseline; }
article h3 > span { color: var(--quiet); font-weight: 400; font-size: 0.92rem; }
article h4 { margin: 0.9rem 0 0.2rem; font-size: 0.85rem; }
article p, article p.quiet { margin: 0 0 0.6rem; max-width: 70ch; }
.method { flex: none; min-width: 3.6rem; text-align: center; font: 700 0.68rem/1.5 ui-monospace, monospace; padding: 0.05rem 0.3rem; border-radius: 0.3rem; background: var(--good-soft); color: var(--good); }
.method.put, .method.post { background: var(--warn-soft); color: var(--warn); } .method.delete { background: var(--bad-soft); color: var(--bad); }
.docs pre { max-height: none; margin: 0 0 0.4rem; }
pre.curl { border-left: 3px solid var(--accent); }
.wide-table { overflow-x: auto; }
.docs td, .docs tbody th { font-size: 0.87rem; border-top: 1px solid var(--line); padding: 0.4rem 0.8rem 0.4rem 0; vertical-align: top; color: var(--ink); }
.docs tbody th { white-space: nowrap; font-weight: 600; } .docs td { min-width: 7rem; } .docs td:nth-child(3) { min-width: 11rem; }
.needed { display: block; color: var(--warn); }
.type { display: block; white-space: nowrap; }
details { margin: 0.7rem 0 0.4rem; } summary { cursor: pointer; font-weight: 600; font-size: 0.85rem; }
@media (max-width: 52rem) {
  .columns { grid-template-columns: minmax(0, 1fr); }
  nav { position: static; max-height: 15rem; border: 1px solid var(--line); border-radius: 0.75rem; padding: 0.8rem; }
  .elsewhere { margin-left: 0; }
}
`;
