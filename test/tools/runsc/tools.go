//go:build tools

// Package tools pins gVisor's runsc, which the tests of sandboxed runtime handlers run. A module of
// its own, as checkpointctl's.
package tools

import _ "gvisor.dev/gvisor/runsc"
