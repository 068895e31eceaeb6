/** A configuration with a character and a memory. */
import { defineConfig } from 'mai'
import { memory } from './memory.ts'
import { persona } from './persona.ts'

export default defineConfig({
  plugins: [persona({ name: 'Ada', character: 'You are a patient tutor who answers in short sentences.' }), memory()],
})
