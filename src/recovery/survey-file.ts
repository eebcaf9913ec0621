/** A survey as a file, to be carried to the other survivors: all of them decide by the same surveys. */
import { parseFounding } from '../cluster/founding.ts';
import { decodeMapChange, encodeMapChange } from '../cluster/metadata/records.ts';
import { isCount, isFields, isNodeId, isPartitionId, type Fields } from '../cluster/shapes.ts';
import { decodeConfiguration, encodeConfiguration } from '../raft/configuration.ts';
import type { LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { NodeId } from '../replica/ports.ts';
import type { Survey, SurveyedDead, SurveyedReplica } from './survey.ts';

const surveyVersion = 1;

export function encodeSurvey(survey: Survey): string {
  const replicas = survey.replicas.map(({ configuration, ...rest }) => {
    return { ...rest, configuration: Buffer.from(encodeConfiguration(configuration)).toString('base64') };
  });
  const content = { surveyVersion, ...survey, map: encodeMapChange(survey.map), replicas };
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

/** Undefined for what `encodeSurvey` has not written. */
export function decodeSurvey(text: string): Survey | undefined {
  const fields = parse(text);
  if (fields['surveyVersion'] !== surveyVersion) return undefined;
  const { nodeId, clusterName, clusterId, founding } = fields;
  if (!isNodeId(nodeId) || typeof clusterName !== 'string' || typeof clusterId !== 'string') return undefined;
  if (typeof founding !== 'string' || parseFounding(founding).type === 'unreadable') return undefined;
  const map = decodeMapChange(fields['map']);
  const seen = listOf(fields['seen'], toSeen);
  const replicas = listOf(fields['replicas'], toReplica);
  const dead = listOf(fields['dead'], toDead);
  if (map === undefined || seen === undefined || replicas === undefined || dead === undefined) return undefined;
  return { nodeId, clusterName, clusterId, founding, map, seen, replicas, dead };
}

function parse(text: string): Fields {
  try {
    const parsed: unknown = JSON.parse(text);
    return isFields(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

function listOf<T>(value: unknown, decode: (fields: Fields) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const decoded = value.map((item) => (isFields(item) ? decode(item) : undefined));
  return decoded.every((item) => item !== undefined) ? decoded : undefined;
}

function toSeen({ nodeId, stay }: Fields): { nodeId: NodeId; stay: number } | undefined {
  return isNodeId(nodeId) && isCount(stay) ? { nodeId, stay } : undefined;
}

function toReplica(fields: Fields): SurveyedReplica | undefined {
  const { partition, replicaId, currentTerm, lastIndex, lastTerm, appliedIndex, logTime, keys, bytes } = fields;
  const { configuration, votes, removed } = fields;
  const counts = [replicaId, currentTerm, lastIndex, lastTerm, appliedIndex, logTime, keys, bytes];
  if (!isPartitionId(partition) || !counts.every(isCount)) return undefined;
  if (typeof configuration !== 'string' || typeof votes !== 'boolean' || typeof removed !== 'boolean') return undefined;
  try {
    return {
      partition,
      replicaId: replicaId as ReplicaId,
      currentTerm: currentTerm as Term,
      lastIndex: lastIndex as LogIndex,
      lastTerm: lastTerm as Term,
      appliedIndex: appliedIndex as LogIndex,
      logTime: logTime as number,
      keys: keys as number,
      bytes: bytes as number,
      configuration: decodeConfiguration(Buffer.from(configuration, 'base64')),
      votes,
      removed,
    };
  } catch {
    return undefined;
  }
}

function toDead({ partition, through, replicaIdMax }: Fields): SurveyedDead | undefined {
  if (!isPartitionId(partition) || !isCount(through) || !isCount(replicaIdMax)) return undefined;
  return { partition, through: through as ReplicaId, replicaIdMax: replicaIdMax as ReplicaId };
}
