export interface Mai {
  readonly version: string
}
