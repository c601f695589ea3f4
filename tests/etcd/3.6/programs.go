// SPDX-License-Identifier: Apache-2.0

//go:build programs

// Package programs names the programs that scripts/etcd-versions builds, so that go.sum has their checksums.
package programs

import (
	_ "go.etcd.io/etcd/etcdctl/v3"
	_ "go.etcd.io/etcd/etcdutl/v3"
	_ "go.etcd.io/etcd/server/v3"
)
