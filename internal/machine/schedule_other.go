//go:build !linux

package machine

// PreferThroughput does nothing: only Linux knows such a policy.
func PreferThroughput() error { return nil }
