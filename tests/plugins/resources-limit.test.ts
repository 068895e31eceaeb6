import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'

const GIB = 2 ** 30
/** Of util-linux; not everywhere. */
const NAMESPACE: string = 'unshare'

/** What a container of 2 GiB shows, in files of either version. */
const TREES = {
  v1: (dir: string) => `
    mkdir -p ${dir}/memory
    echo 2147483648 > ${dir}/memory/memory.limit_in_bytes
    echo 805306368 > ${dir}/memory/memory.usage_in_bytes
    echo 'total_inactive_file 268435456' > ${dir}/memory/memory.stat`,
  v2: (dir: string) => `
    echo 2147483648 > ${dir}/memory.max
    echo 805306368 > ${dir}/memory.current
    echo 'inactive_file 268435456' > ${dir}/memory.stat
    echo 'cpu memory' > ${dir}/cgroup.controllers`,
} as const

const mayMount = process.platform === 'linux' && spawnSync(NAMESPACE, ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0

describe.skipIf(!mayMount)('in a mount namespace of its own (needs the right to make one)', () => {
  it.each(['v1', 'v2'] as const)('the real program plans with the 2 GiB of a %s container', (version) => {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-limit-'))
    const command = `set -e
      mount -t tmpfs none /sys/fs/cgroup
      ${TREES[version]('/sys/fs/cgroup')}
      exec "$0" "$1" status --json`
    const program = path.resolve('dist/cli/bin.js')
    const options = { encoding: 'utf8', cwd: home, env: { ...process.env, MAI_HOME: home, HOME: home } } as const
    const { stdout, stderr } = spawnSync(NAMESPACE, ['-m', 'sh', '-c', command, process.execPath, program], options)
    fs.rmSync(home, { recursive: true })
    expect(stderr).toBe('')
    const { memory, level } = JSON.parse(stdout).resources
    expect(memory.totalBytes).toBe(2 * GIB)
    // Less what is in use and cannot be dropped.
    expect(memory.availableBytes).toBe(2 * GIB - 536_870_912)
    expect(level).toBe('normal')
  })
})
