/**
 * The list slots `command` and `route`: what plugins add to the command line and to the server.
 *
 * @module
 */
import type { Mai } from './mai.ts'

/** A command `mai <name> [args…]`. */
export interface CommandContribution {
  readonly name: string
  /** One line for `mai plugins`. */
  readonly summary: string
  /** @returns the exit code */
  run(
    args: readonly string[],
    io: { readonly mai: Mai; readonly stdout: NodeJS.WritableStream; readonly stderr: NodeJS.WritableStream },
  ): Promise<number>
}

/** An HTTP route of `mai serve`. */
export interface RouteContribution {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Begins with a slash. */
  readonly path: string
  handle(request: Request, mai: Mai): Promise<Response>
}
