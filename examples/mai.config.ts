/** A configuration with a plugin of one's own and another switching policy. */
import { defineConfig } from 'mai'
import { loyalPolicy } from './loyal-policy.ts'
import { wordCount } from './word-count.ts'

export default defineConfig({ plugins: [wordCount({ minimum: 3 }), loyalPolicy()] })
