import { describe, expect, it } from 'vitest'
import {
  parseCgroupBytes,
  parseCgroupPaths,
  parseCpuTimes,
  parseInactiveFile,
  parseMemInfo,
  parseStall,
} from '../../src/plugins/resources/linux-text.ts'
import { parseNvidiaLine } from '../../src/plugins/resources/nvidia.ts'
import { assumedFacts, gpusFrom } from '../../src/plugins/resources/slow-systeminformation.ts'

// Recorded on Linux 6.18, a virtual machine of 24 GiB with two cores.
const MEMINFO = `MemTotal:       24684092 kB
MemFree:        24426488 kB
MemAvailable:   24381924 kB
Buffers:             660 kB
Cached:            79112 kB
SwapCached:            0 kB
SwapTotal:       2097148 kB
SwapFree:        2000000 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
`
const STAT = `cpu  9526 0 6652 1562634 591 0 165 9385 0 0
cpu0 3679 0 2602 783505 58 0 48 4595 0 0
cpu1 5847 0 4049 779129 532 0 116 4789 0 0
intr 3024531 0 0 0
ctxt 5182311
`
const GARBAGE = ['', '\n', 'max', 'MemTotal: lots kB', 'cpu', 'cpu  a b c d', '\0\u{1b}[2J', '{"total":1}', '-5', '1e9', '9'.repeat(400)]

describe('parseMemInfo', () => {
  it('reads bytes from a recorded meminfo', () => {
    expect(parseMemInfo(MEMINFO)).toEqual({
      totalBytes: 24_684_092 * 1024,
      availableBytes: 24_381_924 * 1024,
      swapUsedBytes: 97_148 * 1024,
    })
  })

  it('estimates what is available on a kernel that does not say', () => {
    const old = MEMINFO.replace(/MemAvailable.*\n/, '')
    expect(parseMemInfo(old)?.availableBytes).toBe((24_426_488 + 660 + 79_112) * 1024)
  })

  it('never reports more available than there is', () => {
    expect(parseMemInfo('MemTotal: 100 kB\nMemAvailable: 200 kB\n')?.availableBytes).toBe(100 * 1024)
  })

  it('gives nothing for garbage or a machine of no memory', () => {
    for (const text of [...GARBAGE, 'MemTotal: 0 kB\nMemAvailable: 0 kB\n', 'MemAvailable: 5 kB\n'])
      expect(parseMemInfo(text)).toBeUndefined()
  })
})

describe('parseCpuTimes', () => {
  it('counts everything but idle and waiting for a disk as busy', () => {
    const total = 9526 + 6652 + 1_562_634 + 591 + 165 + 9385
    expect(parseCpuTimes(STAT)).toEqual({ busy: total - 1_562_634 - 591, total, cores: 2 })
  })

  it('does not count guest time twice', () => {
    expect(parseCpuTimes('cpu  100 0 0 100 0 0 0 0 80 0\ncpu0 100 0 0 100 0 0 0 0 80 0\n')).toEqual({ busy: 100, total: 200, cores: 1 })
  })

  it('gives nothing for garbage', () => {
    for (const text of GARBAGE) expect(parseCpuTimes(text)).toBeUndefined()
  })
})

describe('parseStall', () => {
  it('reads full avg10 in percent', () => {
    expect(parseStall('some avg10=35.12 avg60=9.00 avg300=2.00 total=1\nfull avg10=12.34 avg60=4.56 avg300=1.00 total=981273\n')).toBe(
      12.34,
    )
    expect(parseStall('some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n')).toBe(0)
  })

  it('gives nothing where the kernel has no pressure figures', () => {
    for (const text of GARBAGE) expect(parseStall(text)).toBeUndefined()
  })
})

describe('cgroup files', () => {
  it('reads a limit of either version, and takes max for none', () => {
    expect(parseCgroupBytes('2147483648\n')).toBe(2 ** 31)
    expect(parseCgroupBytes('9223372036854771712\n')).toBeGreaterThan(2 ** 62)
    for (const text of ['max\n', '', '-1', 'max 5', '1e9', '0x10']) expect(parseCgroupBytes(text)).toBeUndefined()
  })

  it('finds the paths of both trees on a hybrid system', () => {
    const text = '9:name=systemd:/\n8:pids:/\n4:memory:/process_api/9fea9d5614ab\n1:cpu,cpuacct:/\n0::/user.slice/user-1000.slice\n'
    expect(parseCgroupPaths(text)).toEqual({ unified: '/user.slice/user-1000.slice', memory: '/process_api/9fea9d5614ab' })
  })

  it('finds a path with a colon in it', () => {
    expect(parseCgroupPaths('0::/docker/a:b\n').unified).toBe('/docker/a:b')
  })

  it('knows no path in garbage', () => {
    for (const text of GARBAGE) expect(parseCgroupPaths(text)).toEqual({ unified: undefined, memory: undefined })
  })

  it('prefers the v1 count that includes descendants', () => {
    expect(parseInactiveFile('cache 10\ninactive_file 5\ntotal_inactive_file 7\n')).toBe(7)
    expect(parseInactiveFile('anon 10\nfile 20\ninactive_file 5\nactive_file 6\n')).toBe(5)
    expect(parseInactiveFile('')).toBe(0)
  })
})

describe('graphics', () => {
  it('reads the lines of nvidia-smi, and marks a device that shares the memory of the machine', () => {
    // As nvidia-smi's manual shows the format; the figures are made up.
    const lines = '0, NVIDIA GeForce RTX 3090, 24576, 23012\r\n1, NVIDIA GB10, [N/A], [N/A]\n\nNo devices were found\n'.split('\n')
    expect(lines.flatMap((line) => parseNvidiaLine(line) ?? [])).toEqual([
      { index: 0, gpu: { name: 'NVIDIA GeForce RTX 3090', totalBytes: 24_576 * 2 ** 20, freeBytes: 23_012 * 2 ** 20, unified: false } },
      { index: 1, gpu: { name: 'NVIDIA GB10', totalBytes: 0, freeBytes: 0, unified: true } },
    ])
  })

  it('takes a missing use as none, and Apple silicon as shared', () => {
    const card = { vendor: 'NVIDIA', model: 'RTX', vram: 8192 }
    expect(gpusFrom([card], 'win32', 'x64')).toEqual([{ name: 'RTX', totalBytes: 2 ** 33, freeBytes: 2 ** 33, unified: false }])
    expect(gpusFrom([{ ...card, memoryTotal: 8192, memoryFree: 1024 }], 'win32', 'x64')[0]?.freeBytes).toBe(2 ** 30)
    expect(gpusFrom([{ vendor: 'Apple', model: 'Apple M3', vram: null }], 'darwin', 'arm64')).toEqual([
      { name: 'Apple M3', totalBytes: 0, freeBytes: 0, unified: true },
    ])
    expect(gpusFrom([{ vendor: 'x', model: 'virtual', vram: null }], 'win32', 'x64')).toEqual([])
  })

  it('assumes half of a Mac is available until its tools have answered', () => {
    expect(assumedFacts('darwin', 1000, 30).memory?.availableBytes).toBe(500)
    expect(assumedFacts('win32', 1000, 30).memory).toBeUndefined()
  })
})
