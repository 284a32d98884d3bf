//go:build tools

// Package tools pins checkpointctl, by which the conformance tests read a checkpoint's archive. A
// module of its own: what it needs shall not decide which versions the CRI tools are built with.
package tools

import _ "github.com/checkpoint-restore/checkpointctl"
