//go:build tools

// Package tools pins the upstream CRI tools that the conformance tests run: crictl, and what critest
// (a test of its module) is made of.
package tools

import (
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
