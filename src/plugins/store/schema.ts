/**
 * The schema, as migrations. Version n is reached by the n-th; a released one is never changed.
 *
 * @module
 */
import { storeErrors } from './errors.ts'
import type { Connection } from './sqlite.ts'

/** Marks the file as Mai's: "Mai!" in ASCII. */
const APPLICATION_ID = 0x4d616921

const MIGRATIONS: readonly string[] = [
  `
CREATE TABLE sessions (
  num INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT UNIQUE, -- NULL: deleted, its messages are still being removed
  title TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  message_count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  session INTEGER NOT NULL REFERENCES sessions (num) ON DELETE CASCADE,
  turn_id TEXT NOT NULL,
  role TEXT NOT NULL,
  time INTEGER NOT NULL,
  complete INTEGER NOT NULL,
  parts TEXT NOT NULL
);
CREATE INDEX messages_by_session ON messages (session, seq);
CREATE TABLE spans (
  message INTEGER NOT NULL REFERENCES messages (seq) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  start INTEGER NOT NULL,
  "end" INTEGER NOT NULL,
  model TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (message, position)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE messages_fts USING fts5 (body, tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO messages_fts (messages_fts, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER messages_unindexed AFTER DELETE ON messages BEGIN
  DELETE FROM messages_fts WHERE rowid = old.seq;
END;
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES sessions (num) ON DELETE CASCADE,
  fact TEXT NOT NULL,
  sources TEXT NOT NULL,
  time INTEGER NOT NULL
);
CREATE INDEX ledger_by_session ON ledger (session);
CREATE TABLE records (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL,
  time INTEGER NOT NULL,
  type TEXT NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX records_by_type ON records (type);
CREATE TABLE snapshots (
  policy TEXT NOT NULL,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  time INTEGER NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (policy, version, seq)
) WITHOUT ROWID;
CREATE TABLE leases (
  instance_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL,
  birth TEXT,
  model TEXT NOT NULL,
  process_start INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  owned INTEGER NOT NULL,
  heartbeat INTEGER NOT NULL,
  PRIMARY KEY (instance_id, pid, host)
) WITHOUT ROWID;
CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE models (
  key TEXT PRIMARY KEY,
  figures TEXT NOT NULL,
  time INTEGER NOT NULL
) WITHOUT ROWID;
`,
  `
-- Messages that are stored and not yet in messages_fts.
CREATE TABLE unindexed (seq INTEGER PRIMARY KEY REFERENCES messages (seq) ON DELETE CASCADE);
`,
  `
-- Who noted a fact, and up to which message a session has been looked at.
ALTER TABLE ledger ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN ledger_through INTEGER NOT NULL DEFAULT 0;
`,
  `
-- The index knows the session, so that rarity in it is found without reading others. What stands in it is indexed anew.
DROP TABLE messages_fts;
CREATE VIRTUAL TABLE messages_fts USING fts5 (body, place, tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO messages_fts (messages_fts, rank) VALUES ('secure-delete', 1);
INSERT OR IGNORE INTO unindexed (seq) SELECT seq FROM messages;
-- Messages in which the user gave or took back a standing instruction.
CREATE TABLE instructions (
  seq INTEGER PRIMARY KEY REFERENCES messages (seq) ON DELETE CASCADE,
  session INTEGER NOT NULL
);
CREATE INDEX instructions_by_session ON instructions (session, seq);
`,
]

/**
 * Brings a database to the newest schema, in one transaction. Does not write when it is there already.
 * @throws MaiError `MAI_STORE_FAILED` for a newer schema or another program's database
 */
export function migrate(connection: Connection): void {
  if (versionOf(connection) === MIGRATIONS.length) return
  connection.transaction(() => {
    // Asked again under the lock: another process may have been faster.
    const version = versionOf(connection)
    for (const migration of MIGRATIONS.slice(version)) connection.script(migration)
    if (version === MIGRATIONS.length) return
    connection.script(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}`)
  })
}

function versionOf(connection: Connection): number {
  const version = connection.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0
  const application = connection.get<{ application_id: number }>('PRAGMA application_id')?.application_id ?? 0
  const empty = connection.get('SELECT 1 FROM sqlite_schema LIMIT 1') === undefined
  if (application !== APPLICATION_ID && !empty) throw storeErrors.foreign(connection.file)
  if (version > MIGRATIONS.length) throw storeErrors.newer(connection.file, version, MIGRATIONS.length)
  return version
}
