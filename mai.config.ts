/** The default set, spelled out. All of it runs without this file; keep the lines you want to change. */
import { defineConfig } from 'mai'
import { compression } from 'mai/plugins/compression'
import { ledger } from 'mai/plugins/ledger'
import { llamacpp } from 'mai/plugins/llamacpp'
import { lmstudio } from 'mai/plugins/lmstudio'
import { logging } from 'mai/plugins/logging'
import { resources } from 'mai/plugins/resources'
import { store } from 'mai/plugins/store'
import { struggle } from 'mai/plugins/struggle'
import { switching } from 'mai/plugins/switching'

export default defineConfig({
  plugins: [
    // JSON lines in the platform's log folder; message text only with messageText: true.
    logging(),
    // Conversations and decisions, in one SQLite file.
    store(),
    resources({ intervalMs: 2000 }),
    // At most one unforced switch in 30 s; up again after five calm minutes.
    switching({ dwellMs: 30_000, upgradeAfterMs: 300_000 }),
    // What counts as a lost answer; loop: false switches a detector off.
    struggle(),
    // From 70 % of the window on prompts are prepared, above 90 % condensed.
    compression({ prepareAt: 0.7, condenseAt: 0.9 }),
    // Notes facts of long conversations when nobody waits; disable: ['ledger'] takes it out.
    ledger({ idleAfterMs: 10_000 }),
    // Found by itself; baseUrl: 'ws://127.0.0.1:1234' fixes the address.
    lmstudio({ autoStart: true }),
    // The embedded engine; paths: ['~/models'] adds folders to those it knows.
    llamacpp({ idleMs: 1_800_000 }),
  ],
  // By key, by id, or '*' for all.
  models: { '*': { keepAliveMs: 3_600_000 } },
})
