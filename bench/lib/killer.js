/** Kills leaders, one after the other, for as long as something else goes on. */
import { partitionOf, partitionsWithLeaders } from './partitions.js';
import { sleep } from './report.js';

/** Every `everyMs` the node that leads most of the partitions of `keys` is killed by SIGKILL, and started again at once. */
export class Killer {
  kills = 0;
  #cluster;
  #keys;
  #everyMs;
  #stopped = false;
  #done = Promise.resolve();

  constructor(cluster, keys, everyMs) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#everyMs = everyMs;
  }

  start() {
    this.#done = this.#run();
  }

  stop() {
    this.#stopped = true;
    return this.#done;
  }

  async #run() {
    for (let next = performance.now() + this.#everyMs; ; next += this.#everyMs) {
      await sleep(next - performance.now());
      if (this.#stopped) return;
      const victim = await this.#mostLeading();
      await victim.kill();
      this.kills += 1;
      await victim.restart();
    }
  }

  async #mostLeading() {
    const partitions = await partitionsWithLeaders(this.#cluster);
    const led = this.#keys.map((key) => partitions.find(({ id }) => id === partitionOf(partitions, key)).leader);
    const leads = ({ nodeId }) => led.filter((leader) => leader === nodeId).length;
    return this.#cluster.nodes.toSorted((a, b) => leads(b) - leads(a))[0];
  }
}
