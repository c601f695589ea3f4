// SPDX-License-Identifier: Apache-2.0

//go:build programs
// +build programs

// Package programs names the programs that scripts/etcd-versions builds, so that go.sum has their checksums.
package programs

import (
	_ "go.etcd.io/etcd"
	_ "go.etcd.io/etcd/etcdctl"
)
