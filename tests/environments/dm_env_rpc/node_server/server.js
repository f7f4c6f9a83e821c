// A corridor of cells behind dm_env_rpc: who reaches the last cell wins, in 12 steps at most.
// node server.js DESCRIPTORS PORT     prints the port and serves until it is killed.
//
// Every connection has its own corridor. It has no discount observation: a win ends the sequence
// as TERMINATED, the step limit as INTERRUPTED.
'use strict';

const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const CELLS = 6;
const MAX_STEPS = 12;

// Descriptors show a map as what it is on the wire, a list of entries.
const entries = (map) => [...map].map(([key, value]) => ({key, value}));
const toMap = (list) => new Map((list || []).map(({key, value}) => [key, value]));

const SPECS = {
  actions: entries(new Map([[7, {
    name: 'move', dtype: 'INT32', min: {int32s: {array: [-1]}}, max: {int32s: {array: [1]}},
  }]])),
  observations: entries(new Map([
    [1, {name: 'reward', dtype: 'FLOAT'}],
    [2, {name: 'place.cell', dtype: 'DOUBLE', shape: [CELLS]}],
    [3, {name: 'place.steps', dtype: 'INT64'}],
    [4, {name: 'legal_actions', dtype: 'BOOL', shape: [3]}],
  ])),
};

class Corridor {
  constructor(seed) {
    this.next = seed;
    this.state = 'TERMINATED';
  }

  step(move) {
    if (this.state !== 'RUNNING') {
      this.cell = this.next % (CELLS - 1);
      this.next += 1;
      this.steps = 0;
      this.reward = 0;
      this.state = 'RUNNING';
      return;
    }
    if (this.cell + move < 0) throw new Error(`there is no cell ${this.cell + move}`);
    this.cell += move;
    this.steps += 1;
    const won = this.cell === CELLS - 1;
    this.reward = won ? 1 : -0.125;
    if (won) this.state = 'TERMINATED';
    else if (this.steps === MAX_STEPS) this.state = 'INTERRUPTED';
  }

  observe(uid) {
    const cells = Array.from({length: CELLS}, (_, cell) => (cell === this.cell ? 1 : 0));
    return {
      1: {floats: {array: [this.reward]}},
      2: {doubles: {array: cells}, shape: [CELLS]},
      3: {int64s: {array: [this.steps]}},
      4: {bools: {array: [this.cell > 0, true, true]}, shape: [3]},
    }[uid];
  }
}

class Session {
  constructor() {
    this.worlds = new Map();
    this.corridor = null;
  }

  create_world({settings}) {
    const name = `world ${this.worlds.size}`;
    const given = toMap(settings);
    for (const setting of given.keys()) {
      if (setting !== 'seed') throw new Error(`no setting is called ${setting}`);
    }
    this.worlds.set(name, given.has('seed') ? given.get('seed').int64s.array[0] : 0);
    return {world_name: name};
  }

  join_world({world_name}) {
    if (!this.worlds.has(world_name)) throw new Error(`no world is called ${world_name}`);
    this.corridor = new Corridor(this.worlds.get(world_name));
    return {specs: SPECS};
  }

  step({actions, requested_observations}) {
    const move = toMap(actions).get(7);
    this.corridor.step(move ? move.int32s.array[0] : 0);
    const observations = new Map(
      requested_observations.map((uid) => [Number(uid), this.corridor.observe(uid)]));
    return {state: this.corridor.state, observations: entries(observations)};
  }

  reset() {
    this.corridor.state = 'INTERRUPTED';
    return {specs: SPECS};
  }

  leave_world() {
    this.corridor = null;
    return {};
  }

  destroy_world({world_name}) {
    this.worlds.delete(world_name);
    return {};
  }
}

function process_(stream) {
  const session = new Session();
  stream.on('data', (request) => {
    const kind = request.payload;
    try {
      stream.write({[kind]: session[kind](request[kind])});
    } catch (error) {
      stream.write({error: {code: 3, message: error.message}});
    }
  });
  stream.on('error', () => {});
  stream.on('end', () => stream.end());
}

const descriptors = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(process.argv[2]), {
  keepCase: true, longs: Number, enums: String, oneofs: true,
});
const service = grpc.loadPackageDefinition(descriptors).dm_env_rpc.v1.Environment.service;
const server = new grpc.Server();
server.addService(service, {process: process_});
server.bindAsync(`127.0.0.1:${process.argv[3]}`, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
