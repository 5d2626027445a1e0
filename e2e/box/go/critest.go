// SPDX-License-Identifier: Apache-2.0

// Package box pins what critest is made of. critest's own package consists of tests alone, which no
// tool directive can name.
package box

import (
	_ "sigs.k8s.io/cri-tools/pkg/benchmark"
	_ "sigs.k8s.io/cri-tools/pkg/framework"
	_ "sigs.k8s.io/cri-tools/pkg/validate"
)
