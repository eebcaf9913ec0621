/** The handshake's two frames: who speaks, to whom, for which cluster; or why not. */
import { assert } from '../assert.ts';
import { writeU64 } from '../bytes.ts';
import type { Hello, Lane, NodeId } from '../replica/ports.ts';
import { WireError, type WireReader } from './wire.ts';

/** "FLOT": a peer connection begins with it (behind the frame's header), whatever the protocol version. */
export const magic = 0x46_4c_4f_54;
/** Both ends must speak the same one: it names the layout of all that follows. */
export const protocolVersion = 3;
/** What this build understands beyond the layout. Peers tell each other theirs; a difference is no reason to refuse. */
export const featureLevel = 1;

/** The numbers are sent: they never change. */
const laneNumbers = { main: 1, bulk: 2 } as const satisfies Record<Lane, number>;
const idBytes = 16;
const nodeIdPattern = /^[A-Za-z0-9._-]{1,64}$/;
const hexPattern = /^[0-9a-f]{32}$/;
const noCluster = '0'.repeat(2 * idBytes);
/** Longest reason that is sent with a refusal. */
const reasonBytesMax = 512;

/** Bytes of a hello's payload. */
export function helloBytes(hello: Hello): number {
  return 4 + 2 + 2 + 1 + idBytes + 1 + hello.nodeId.length + 1 + hello.to.length + 8 + idBytes + 2;
}

/** Writes the payload at `at`; returns its end. */
export function encodeHello(page: Buffer, at: number, hello: Hello): number {
  assert(nodeIdPattern.test(hello.nodeId) && nodeIdPattern.test(hello.to), 'a hello carries valid node ids');
  assert(
    hexPattern.test(hello.clusterId ?? noCluster) && hexPattern.test(hello.nonce),
    'ids are 32 lower-case hex digits',
  );
  assert(hello.clusterId !== noCluster, 'the cluster id of zeros means "not formed"');
  at = page.writeUInt32BE(magic, at);
  at = page.writeUInt16BE(protocolVersion, at);
  at = page.writeUInt16BE(featureLevel, at);
  at = page.writeUInt8(laneNumbers[hello.lane], at);
  at += page.write(hello.clusterId ?? noCluster, at, 'hex');
  at = page.writeUInt8(hello.nodeId.length, at);
  at += page.write(hello.nodeId, at, 'latin1');
  at = page.writeUInt8(hello.to.length, at);
  at += page.write(hello.to, at, 'latin1');
  writeU64(page, hello.incarnation, at);
  at += 8;
  at += page.write(hello.nonce, at, 'hex');
  return page.writeUInt16BE(0, at);
}

/** Throws a WireError that says what is wrong. The authentication blob is passed over: no scheme is agreed yet. */
export function decodeHello(reader: WireReader): Hello {
  if (reader.u32() !== magic) throw new WireError('no Flotilla node: the magic number is missing');
  const version = reader.u16();
  if (version !== protocolVersion) {
    throw new WireError(`speaks protocol version ${version}, this node speaks ${protocolVersion}`);
  }
  if (reader.u16() === 0) throw new WireError('feature level 0 does not exist');
  const lane = decodeLane(reader);
  const clusterId = reader.view(idBytes).toString('hex');
  const nodeId = decodeNodeId(reader);
  const to = decodeNodeId(reader);
  const incarnation = reader.u64();
  const nonce = reader.view(idBytes).toString('hex');
  reader.view(reader.u16());
  reader.end();
  return { lane, clusterId: clusterId === noCluster ? undefined : clusterId, nodeId, to, incarnation, nonce };
}

function decodeLane(reader: WireReader): Lane {
  const number = reader.u8();
  if (number === laneNumbers.main) return 'main';
  if (number === laneNumbers.bulk) return 'bulk';
  throw new WireError(`lane ${number} does not exist`);
}

function decodeNodeId(reader: WireReader): NodeId {
  const text = reader.view(reader.u8()).toString('latin1');
  if (!nodeIdPattern.test(text)) throw new WireError('a node id is not 1 to 64 of [A-Za-z0-9._-]');
  return text as NodeId;
}

/** A reason as it travels: UTF-8, cut to a bounded length. */
export function reasonToBytes(reason: string): Buffer {
  return Buffer.from(reason).subarray(0, reasonBytesMax);
}
