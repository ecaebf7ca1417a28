package programs

import (
	"embed"
	"maps"
	"slices"
	"time"
)

// Source is this file, of which the grammar reads the comments.
//
//go:embed model.go
var Source embed.FS

// SourceName is the name of the file in Source.
const SourceName = "model.go"

// Isolation is request, connection or instance.
type Isolation string

// Machine is auto, kvm or emulator.
type Machine string

// Program is a static Linux program that answers requests. It reads them from standard input and writes responses to standard output.
type Program struct {
	// Its file, from the directory of this one; or a tar archive or a directory of a root file system that it is in; or `sha256:` and 64 hexadecimal digits: one
	// of the images that the node has.
	// required
	Image string `yaml:"image"`

	// A directory, from that of this file, which the program sees as `/`, read-only, beside itself, `/program`. Directories in which there is no file can be
	// written and are memory, as are `/tmp`, `/run` and those below `/var` that programs write to.
	// default: NONE
	Files string `yaml:"files"`

	// Which file of an archive or a directory is the program: a path in it.
	// default: /program, or the only PROGRAM in it
	Executable string `yaml:"executable"`

	// Its arguments, the first of them behind its name.
	Args []string `yaml:"args"`

	// Its environment, which is empty otherwise.
	Env map[string]string `yaml:"env"`

	// Variables that nobody is shown, at most 64: of each name the file that has its value, from the directory of this one; or `secret:` and the name of one
	// that control keeps. A value has at most 64 KiB and no NUL; one line break at its end doesn't count.
	Secrets map[string]string `yaml:"secrets"`

	// Who shares the processors with other tenants, a fair part for each, however many programs it has.
	// default: NAME
	Tenant string `yaml:"tenant"`

	// The TCP port of a server. 0 is the first that it listens on, if it doesn't read standard input before.
	// default: 0
	// range: 0 to 65535
	Listen int `yaml:"listen"`

	// After what its memory is taken back to what it was when it had started: each `request`, each `connection`, or never, as long as the
	// `instance` lives.
	// default: request
	// one of: request, connection, instance
	Isolation Isolation `yaml:"isolation"`

	// What it runs on. `auto` is what costs less: KVM where it is there, or, within a virtual machine, the emulator; a program is asked on both to find out,
	// and an instance begins anew when it changes. `kvm` refuses it on a node that has none.
	// default: auto
	// one of: auto, kvm, emulator
	Machine Machine `yaml:"machine"`

	// What one instance may use.
	// default: 128MiB
	// range: 1MiB to 4GiB
	Memory int64 `yaml:"memory"`

	// What one request may use. Who passes a limit is stopped, and the client gets a 5xx that names it.
	Limits Quota `yaml:"limits"`
}

// Quota is what one request to a program may use.
type Quota struct {
	// CPU time. In the emulator it is ten times as much.
	// default: 50ms
	// range: 1ms to 10m
	CPU time.Duration `yaml:"cpu"`

	// Time that passes.
	// default: 10s
	// range: 1ms to 10m
	Wall time.Duration `yaml:"wall"`

	// The request, header section and body; more gets 413.
	// default: 1MiB
	// range: 1KiB to 64MiB
	Input int64 `yaml:"input"`

	// What the program writes, to standard error, too.
	// default: 4MiB
	// range: 1KiB to 64MiB
	Output int64 `yaml:"output"`

	// Requests that it answers at the same time on one node; others wait.
	// default: 16
	// range: 1 to 1024
	Concurrency int `yaml:"concurrency"`

	// Requests that it makes while it answers one: to its site's cache and origins, and to the key-value store. More get 429.
	// default: 32
	// range: 0 to 10000
	Subrequests int `yaml:"subrequests"`

	// How long a connection that was upgraded, to WebSocket for instance, may be silent.
	// default: 1m
	// range: 1s to 24h
	Idle time.Duration `yaml:"idle"`
}

// ValueLimits are what the key-value store keeps. In a network they hold for what all nodes have together, which is the same on each.
type ValueLimits struct {
	// The memory of all keys and values on one node. Programs get 507 when seven eighths of it are used.
	// default: 256MiB
	// range: 16MiB to 1GiB
	Memory int64 `yaml:"memory"`

	// The keys and values of one tenant; more gets 507.
	// default: 16MiB
	// range: 1KiB to 1GiB
	Bytes int64 `yaml:"bytes"`

	// The keys of one tenant; more get 507.
	// default: 100000
	// range: 1 to 10000000
	Keys int `yaml:"keys"`

	// Writes of one tenant in a second, on one node; more get 429.
	// default: 200
	// range: 1 to 100000
	Rate int `yaml:"rate"`

	// As many at once, after a pause.
	// default: 400
	// range: 1 to 100000
	Burst int `yaml:"burst"`

	// Writes of one node that control hasn't ordered yet; more get 503.
	// default: 4MiB
	// range: 256KiB to 256MiB
	Outbox int64 `yaml:"outbox"`

	// Tenants that may have something else: what `tenant` says of programs, or the name of one.
	Tenants map[string]TenantValues `yaml:"tenants"`
}

// TenantValues are what one tenant may have in the key-value store.
type TenantValues struct {
	// Its keys and values.
	// default: as for ALL
	// range: 1KiB to 1GiB
	Bytes int64 `yaml:"bytes"`

	// Its keys.
	// default: as for ALL
	// range: 1 to 10000000
	Keys int `yaml:"keys"`
}

// Environment is Env as NAME=value, in the order of the names.
func (p *Program) Environment() (all []string) {
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		all = append(all, name+"="+p.Env[name])
	}
	return all
}
