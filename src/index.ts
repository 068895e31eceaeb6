/**
 * Mai keeps a conversation going on local language models.
 *
 * @module
 */
// `export *` where third parties merge into interfaces: an alias would break their `declare module 'mai'`.

export * from './chat/backend.ts'
export * from './chat/background.ts'
export * from './chat/blocking.ts'
export * from './chat/context.ts'
export * from './chat/events.ts'
export * from './chat/extensions.ts'
export * from './chat/failure.ts'
export * from './chat/ledger.ts'
export * from './chat/mai.ts'
export * from './chat/memory/size-estimate.ts'
export * from './chat/message.ts'
export * from './chat/model.ts'
export * from './chat/model-manager.ts'
export * from './chat/policy.ts'
export * from './chat/reply.ts'
export * from './chat/resources.ts'
export * from './chat/settings.ts'
export * from './chat/status.ts'
export * from './chat/store.ts'
export * from './chat/watcher.ts'
export * from './config/load.ts'
export * from './config/open.ts'
export * from './config/schema.ts'
export * from './core/errors.ts'
export * from './core/events.ts'
export * from './core/hooks.ts'
export * from './core/kernel.ts'
export * from './core/plugin.ts'
export * from './core/slots.ts'
