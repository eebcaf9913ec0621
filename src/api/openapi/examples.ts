/** One body for each schema that is taken, as somebody would send it. */
import type { RequestBodies } from '../schemas.ts';

export const requestExamples: RequestBodies = {
  batch: {
    ops: [
      { op: 'put', key: 'user/1', value: 'Ada', ttl: '60s' },
      { op: 'get', key: 'user/2' },
      { op: 'delete', key: 'user/3' },
    ],
  },
  transaction: {
    compare: [{ key: '{user/1}/name', exists: false }],
    then: [{ op: 'put', key: '{user/1}/name', value: 'Ada' }],
    else: [{ op: 'get', key: '{user/1}/name' }],
  },
  moveLeader: { nodeId: 'n2' },
  addNode: { nodeId: 'n4', http: 'http://127.0.0.1:7004', peer: '127.0.0.1:7104' },
  simpleSet: { key: 'user/1', value: 'Ada', ttl: '60s' },
};
