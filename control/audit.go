package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
)

const prefixAudit = "audit/"

// auditKey sorts by time.
func auditKey(at time.Time, tail string) string {
	return fmt.Sprintf("%s%016x%s", prefixAudit, at.UnixNano(), tail)
}

// audited is the record of a change, for the transaction that makes it.
func (c *Control) audited(a api.Actor, action, subject, message, before, after string, now time.Time) store.Put {
	return put(auditKey(now, "-"+rand.Text()[:6]), api.AuditRecord{
		At: now.UTC(), Actor: a.Name, Action: action, Subject: subject, Message: message, Before: before, After: after,
	})
}

const refusedMax = 1000

// auditRefusal records that something was refused, and returns err. That it couldn't be recorded doesn't keep anybody from being told why.
func (c *Control) auditRefusal(ctx context.Context, a api.Actor, action, subject, message string, err error) error {
	if errors.Is(err, context.Canceled) || statusOf(err) >= 500 {
		return err
	}
	why := err.Error()
	if f := fault.Of(err); f.Err != nil {
		why = f.Err.Error() // who refused it and in what the record says
	}
	now := c.now()
	record := api.AuditRecord{At: now.UTC(), Actor: a.Name, Action: action, Subject: subject, Message: message, Refused: why[:min(len(why), refusedMax)]}
	if _, failed := c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{put(auditKey(now, "-"+rand.Text()[:6]), record)}}); failed != nil {
		c.log.Warn("a refusal couldn't be recorded", "action", action, "actor", a.Name, "error", failed)
	}
	return err
}

func statusOf(err error) int {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Status
	}
	return 500
}

// withStatusOf is err with the status of another one.
func withStatusOf(of, err error) error {
	var f *fault.Error
	if errors.As(of, &f) {
		return fault.New(f.Party, f.Op, f.Status, err)
	}
	return err
}

const auditMax = 1000

// Audit implements api.Service.
func (c *Control) Audit(ctx context.Context, a api.Actor, q api.AuditQuery) ([]api.AuditRecord, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, auditMax)
	all := []api.AuditRecord{}
	_, err := c.o.Store.All(ctx, prefixAudit, func(kv store.KV) error {
		var r api.AuditRecord
		if json.Unmarshal(kv.Value, &r) != nil {
			return nil
		}
		site := siteOf(r.Subject)
		if !q.Before.IsZero() && !r.At.Before(q.Before) || q.Actor != "" && r.Actor != q.Actor || q.Subject != "" && r.Subject != q.Subject && strings.TrimPrefix(r.Subject, "site/") != q.Subject ||
			len(a.Can.Sites) > 0 && (site == "" || !a.Can.Of(site)) {
			return nil
		}
		if all = append(all, r); len(all) > 4*auditMax {
			all = slices.Clone(all[len(all)-auditMax:])
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	all = all[max(0, len(all)-q.Limit):]
	slices.Reverse(all)
	return all, nil
}
