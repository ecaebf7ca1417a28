package vdso

// code is machine code that stands at start of the object. Jumps go to labels, which may come later.
type code struct {
	b      []byte
	start  int
	labels map[string]int
	jumps  []jump
}

// jump is a displacement of four bytes to be filled in.
type jump struct {
	at int
	to string
}

func (c *code) put(b ...byte) { c.b = append(c.b, b...) }

func (c *code) put32(v uint32) { c.b = le.AppendUint32(c.b, v) }

func (c *code) label(name string) { c.labels[name] = len(c.b) }

// jumpIf is Jcc with a displacement of 32 bits (SDM volume 2, Jcc).
func (c *code) jumpIf(condition byte, to string) {
	c.put(0x0f, 0x80|condition)
	c.jumps = append(c.jumps, jump{len(c.b), to})
	c.put32(0)
}

// Conditions, as in the opcodes of Jcc.
const (
	ifNoCarry = 3
	ifZero    = 4
	ifNotZero = 5
	ifAbove   = 7
	ifSign    = 8
)

// field is an instruction whose operand is a field of the data page, relative to RIP: op up to ModRM, the displacement, and what comes behind.
func (c *code) field(field int, op []byte, behind ...byte) {
	c.put(op...)
	next := c.start + len(c.b) + 4 + len(behind)
	c.put32(uint32(int32(field - PageSize - next)))
	c.put(behind...)
}

// link fills in the jumps.
func (c *code) link() {
	for _, j := range c.jumps {
		le.PutUint32(c.b[j.at:], uint32(int32(c.labels[j.to]-j.at-4)))
	}
}

// Clocks that the functions know, by their numbers: CLOCK_REALTIME and CLOCK_REALTIME_COARSE; CLOCK_MONOTONIC, _RAW, _COARSE and CLOCK_BOOTTIME.
const (
	realClocks  = 1<<0 | 1<<5
	knownClocks = realClocks | 1<<1 | 1<<4 | 1<<6 | 1<<7
	clockMax    = 7
)

// Numbers of system calls.
const (
	callGettimeofday = 96
	callTime         = 201
	callClockGettime = 228
	callClockGetres  = 229
)

// now leaves nanoseconds in RAX, of CLOCK_REALTIME or of the clock that EDI says, or goes to name+"call". It leaves RDI and RSI.
func (c *code) now(name string, byClock bool) {
	c.label(name + "again")
	c.field(fieldSequence, []byte{0x4c, 0x8b, 0x05}) // mov r8, [sequence]
	c.field(fieldOn, []byte{0x48, 0x83, 0x3d}, 0)    // cmp qword [on], 0
	c.jumpIf(ifZero, name+"call")
	c.put(0x0f, 0xae, 0xe8)                         // lfence: RDTSC doesn't wait for what is before it (SDM volume 2, RDTSC)
	c.put(0x0f, 0x31)                               // rdtsc
	c.put(0x48, 0xc1, 0xe2, 0x20)                   // shl rdx, 32
	c.put(0x48, 0x09, 0xd0)                         // or rax, rdx
	c.field(fieldCounter, []byte{0x48, 0x2b, 0x05}) // sub rax, [counter]
	c.put(0x73, 0x02)                               // jnc over the next
	c.put(0x31, 0xc0)                               // xor eax, eax
	c.field(fieldRate, []byte{0x48, 0xf7, 0x25})    // mul qword [rate]
	c.put(0x48, 0x0f, 0xac, 0xd0, rateBits)         // shrd rax, rdx, 32
	c.field(fieldMonotonic, []byte{0x48, 0x03, 0x05})
	if byClock {
		c.put(0xb9)
		c.put32(realClocks)     // mov ecx, realClocks
		c.put(0x0f, 0xa3, 0xf9) // bt ecx, edi
		c.put(0x73, 0x07)       // jnc over the next
	}
	c.field(fieldRealOffset, []byte{0x48, 0x03, 0x05}) // add rax, [realOffset]
	c.field(fieldSequence, []byte{0x4c, 0x3b, 0x05})   // cmp r8, [sequence]
	c.jumpIf(ifNotZero, name+"again")
	c.put(0x48, 0x85, 0xc0) // test rax, rax
	c.jumpIf(ifSign, name+"call")
}

// divide makes seconds in RAX and nanoseconds in RDX of nanoseconds in RAX.
func (c *code) divide() {
	c.put(0x31, 0xd2) // xor edx, edx
	c.put(0xb9)
	c.put32(1_000_000_000)  // mov ecx, 1e9
	c.put(0x48, 0xf7, 0xf1) // div rcx
}

// knownClock goes to name+"call" unless EDI is a clock that the functions know.
func (c *code) knownClock(name string) {
	c.put(0x83, 0xff, clockMax) // cmp edi, clockMax
	c.jumpIf(ifAbove, name+"call")
	c.put(0xb8)
	c.put32(knownClocks)    // mov eax, knownClocks
	c.put(0x0f, 0xa3, 0xf8) // bt eax, edi
	c.jumpIf(ifNoCarry, name+"call")
}

// done returns 0, and call makes the system call with the arguments that are in their registers still.
func (c *code) done(name string) {
	c.label(name + "done")
	c.put(0x31, 0xc0, 0xc3) // xor eax, eax; ret
}

func (c *code) call(name string, number uint32) {
	c.label(name + "call")
	c.put(0xb8)
	c.put32(number)         // mov eax, number
	c.put(0x0f, 0x05, 0xc3) // syscall; ret
}

// clockGettime is int clock_gettime(clockid_t edi, struct timespec *rsi).
func (c *code) clockGettime() {
	const name = "clock_gettime "
	c.knownClock(name)
	c.now(name, true)
	c.divide()
	c.put(0x48, 0x89, 0x06)       // mov [rsi], rax
	c.put(0x48, 0x89, 0x56, 0x08) // mov [rsi+8], rdx
	c.done(name)
	c.call(name, callClockGettime)
}

// gettimeofday is int gettimeofday(struct timeval *rdi, struct timezone *rsi). Each may be nil.
func (c *code) gettimeofday() {
	const name = "gettimeofday "
	c.put(0x48, 0x85, 0xff) // test rdi, rdi
	c.jumpIf(ifZero, name+"zone")
	c.now(name, false)
	c.divide()
	c.put(0x48, 0x89, 0x07) // mov [rdi], rax
	c.put(0x89, 0xd0)       // mov eax, edx
	c.put(0x31, 0xd2)       // xor edx, edx
	c.put(0xb9)
	c.put32(1000)                 // mov ecx, 1000
	c.put(0xf7, 0xf1)             // div ecx
	c.put(0x48, 0x89, 0x47, 0x08) // mov [rdi+8], rax
	c.label(name + "zone")
	c.put(0x48, 0x85, 0xf6) // test rsi, rsi
	c.jumpIf(ifZero, name+"done")
	c.put(0x48, 0xc7, 0x06, 0, 0, 0, 0) // mov qword [rsi], 0
	c.done(name)
	c.call(name, callGettimeofday)
}

// time is time_t time(time_t *rdi), which may be nil.
func (c *code) time() {
	const name = "time "
	c.now(name, false)
	c.divide()
	c.put(0x48, 0x85, 0xff) // test rdi, rdi
	c.jumpIf(ifZero, name+"seconds")
	c.put(0x48, 0x89, 0x07) // mov [rdi], rax
	c.label(name + "seconds")
	c.put(0xc3) // ret
	c.call(name, callTime)
}

// clockGetres is int clock_getres(clockid_t edi, struct timespec *rsi), which may be nil: all clocks say a nanosecond.
func (c *code) clockGetres() {
	const name = "clock_getres "
	c.knownClock(name)
	c.put(0x48, 0x85, 0xf6) // test rsi, rsi
	c.jumpIf(ifZero, name+"done")
	c.put(0x48, 0xc7, 0x06, 0, 0, 0, 0)       // mov qword [rsi], 0
	c.put(0x48, 0xc7, 0x46, 0x08, 1, 0, 0, 0) // mov qword [rsi+8], 1
	c.done(name)
	c.call(name, callClockGetres)
}
