/** The page's body. Everything that comes from the node is filled in by the script, as text. */
export const markup = `
<header>
  <h1><span class="mark" aria-hidden="true"></span>Flotilla</h1>
  <p class="where"><span id="cluster-name">…</span> · you are on <strong id="node-id">…</strong></p>
  <p class="pill" id="health" role="status">connecting…</p>
</header>
<p class="banner" id="banner" role="alert" hidden></p>
<main>
  <section aria-labelledby="try-title" class="try">
    <h2 id="try-title">Try it</h2>
    <form id="form" autocomplete="off">
      <label for="key">Key</label>
      <input id="key" name="key" required spellcheck="false" autocapitalize="off" placeholder="hello">
      <label for="value">Value <small>(for Set)</small></label>
      <textarea id="value" name="value" rows="3" spellcheck="false" placeholder="world"></textarea>
      <label for="ttl">Time to live <small>(for Set; empty: it stays)</small></label>
      <input id="ttl" name="ttl" spellcheck="false" autocapitalize="off" placeholder="60s, 5m, 1h30m, 1d">
      <div class="buttons">
        <button type="submit" value="set" class="main">Set</button>
        <button type="submit" value="get">Get</button>
        <button type="submit" value="delete">Delete</button>
      </div>
    </form>
    <p id="key-live" class="live" hidden><span class="state" role="status"></span> <small></small></p>
    <div id="result" class="result" role="status" aria-live="polite"><p class="quiet">What happens is told here: the answer, its revision, when it expires, and who gave it.</p></div>
  </section>
  <div class="stack">
  <section aria-labelledby="nodes-title">
    <h2 id="nodes-title">Nodes</h2>
    <table>
      <thead><tr><th scope="col">Node</th><th scope="col">State</th><th scope="col" class="number">Leads</th><th scope="col" class="number">Replicas</th></tr></thead>
      <tbody id="nodes"><tr><td colspan="4" class="quiet">Asking…</td></tr></tbody>
    </table>
  </section>
  <section aria-labelledby="search-title">
    <h2 id="search-title">Find keys</h2>
    <form id="search" autocomplete="off">
      <label for="prefix">Prefix <small>(empty: all keys)</small></label>
      <div class="line">
        <input id="prefix" name="prefix" spellcheck="false" autocapitalize="off" placeholder="user:">
        <button type="submit">Search</button>
      </div>
    </form>
    <p id="list-live" class="live" hidden><span class="state" role="status"></span> <small></small></p>
    <div id="found" class="found" role="status" aria-live="polite"></div>
  </section>
  </div>
  <section aria-labelledby="moves-title" class="wide" id="moves-section" hidden>
    <h2 id="moves-title">Moves <small id="moves-summary"></small></h2>
    <table id="moves-table" hidden>
      <thead><tr><th scope="col">Partition</th><th scope="col">From → to</th><th scope="col">Now</th><th scope="col" class="number">Done</th></tr></thead>
      <tbody id="moves"></tbody>
    </table>
  </section>
  <section aria-labelledby="partitions-title" class="wide">
    <h2 id="partitions-title">Partitions <small id="partitions-summary"></small></h2>
    <ul id="partitions" class="grid"></ul>
  </section>
</main>
<footer>Nodes and partitions are asked every 2 s · <span id="updated">not yet</span> · <a href="/docs">the API</a></footer>
<noscript><p class="banner">This page needs JavaScript. The same is told by /v1/cluster, /v1/cluster/partitions and /v1/cluster/operations.</p></noscript>
`;
