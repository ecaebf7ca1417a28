package network

import (
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/kv"
)

// setValueLimits has the key-value store go by a configuration.
func (n *Network) setValueLimits(s *config.Snapshot) {
	if n.o.Values == nil {
		return
	}
	l := &s.Limits.Values
	quotas := map[string]kv.Quota{}
	for tenant, q := range l.Tenants {
		quotas[tenant] = kv.Quota{Bytes: q.Bytes, Keys: q.Keys}
	}
	n.o.Values.SetLimits(kv.Limits{
		Bytes: l.Bytes, Keys: l.Keys, Quotas: quotas, Node: l.Memory, Rate: float64(l.Rate), Burst: l.Burst, Outbox: l.Outbox,
	})
}
