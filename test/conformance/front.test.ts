/** Both ways into the HTTP front keep the same contract. */
import { startFront } from '../http/start-front.ts';
import { conformanceSuite } from './suite.ts';

conformanceSuite('the fast path', () => startFront({ limits: { fastPath: true } }));
conformanceSuite('Express alone', () => startFront({ limits: { fastPath: false } }));
