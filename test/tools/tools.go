//go:build tools

// Package tools pins the upstream CRI tools that the conformance tests run: crictl, what
// critest (a test of its module) is made of, and ginkgo, which runs it in parallel.
package tools

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
