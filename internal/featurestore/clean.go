package featurestore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// clean drops what belongs to the target and to none of its versions: the version that became too old, and what a crash
// left. It may not disturb readers: a partition is detached without blocking them, and when an old transaction still
// uses it, it stays until next time. That is why nothing here is an error of the publication.
func (w *work) clean(ctx context.Context) {
	// Detaching runs outside of transactions, so role, search path and time-outs are those of the session until they are reset.
	for _, sql := range []string{"set search_path = pg_catalog", "set role " + ident(w.store.owner), "set lock_timeout = '2s'", "set statement_timeout = '5s'"} {
		if _, err := w.conn.Exec(ctx, sql); err != nil {
			return
		}
	}
	defer func() {
		for _, sql := range []string{"reset statement_timeout", "reset lock_timeout", "reset role", "reset search_path"} {
			if _, err := w.conn.Exec(ctx, sql); err != nil {
				_ = w.conn.Conn().Close(context.WithoutCancel(ctx))
				return
			}
		}
	}()
	leftovers, err := w.leftovers(ctx)
	if err != nil {
		return
	}
	for _, l := range leftovers {
		if l.parent != "" {
			how := "concurrently"
			if l.pending {
				how = "finalize"
			}
			_, err := w.conn.Exec(ctx, fmt.Sprintf("alter table %s detach partition %s %s", ident("flowehr_data", l.parent), ident("flowehr_data", l.table), how))
			if err != nil {
				continue
			}
		}
		if _, err := w.conn.Exec(ctx, "drop table if exists "+ident("flowehr_data", l.table)); err != nil {
			continue
		}
	}
}

type leftover struct {
	table   string
	parent  string // empty for one that stands alone
	pending bool   // a detach of it was interrupted
}

// leftovers lists partitions before the families that they are part of.
func (w *work) leftovers(ctx context.Context) ([]leftover, error) {
	rows, err := w.conn.Query(ctx, `
		select c.relname, coalesce(p.relname, ''), coalesce(i.inhdetachpending, false)
		from pg_class c
		join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'flowehr_data'
		left join pg_inherits i on i.inhrelid = c.oid
		left join pg_class p on p.oid = i.inhparent
		where c.relkind in ('r', 'p')
		and (c.relname ~ ('^t' || $1::text || '_v\d+$') and substring(c.relname from '\d+$')::bigint not in (select version from flowehr_store.version where target = $2::bigint)
		  or c.relname ~ ('^t' || $1::text || '_f\d+$') and substring(c.relname from '\d+$')::bigint not in (select family from flowehr_store.version where target = $2::bigint))
		order by c.relkind = 'p', i.inhdetachpending desc nulls last, c.relname`, fmt.Sprint(w.id), w.id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l leftover, err error) {
		return l, row.Scan(&l.table, &l.parent, &l.pending)
	})
}
