package linux

import (
	"testing"
	"time"
	"fmt"
	"os"
	"strconv"

	"github.com/wherry/wherry/vmm/kvm"
	"github.com/wherry/wherry/vmm/phys"
)

func TestDbg(t *testing.T) {
	i, _ := strconv.Atoi(os.Getenv("DBG"))
	m, err := kvm.New(phys.New(phys.Options{}))
	if err != nil { t.Skip(err) }
	r := runGuest(t, m, buildGo(t, "threads"), Options{Args: []string{"threads","1"}, Slice: slicesOf(i), Time: Time{Virtual: i%2 == 0}, Limits: Limits{Wall: 15*time.Second}}, "")
	fmt.Printf("%+v\n%+v\n", r.stop, r.p.Metrics())
	for _, t := range r.p.tasks { fmt.Printf("%d %v rip %x %+v cpu %d\n", t.ID, waitKinds[t.Wait.Kind], t.registers().RIP, t.Wait, t.CPU) }
	fmt.Println(r.p.clock, hostNow())
}
