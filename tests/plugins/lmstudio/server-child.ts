/**
 * What a fake `lms` starts: the stand-in server, which writes its port down as LM Studio does.
 * `server-child.ts <home>`; its process id goes to `<home>/pid`.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'
import { startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'

const [home = ''] = process.argv.slice(2)
const server = await startLmStudioServer({ models: [scriptedEngine({ key: 'a', answer: 'Hello there.' })] })
const folder = path.join(home, '.lmstudio', '.internal')
fs.mkdirSync(folder, { recursive: true })
fs.writeFileSync(path.join(home, 'pid'), String(process.pid))
fs.writeFileSync(path.join(folder, 'http-server.json'), JSON.stringify({ port: server.port }))
