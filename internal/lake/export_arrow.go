//go:build cgo && duckdb_arrow

package lake

import (
	"context"
	"database/sql/driver"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go/v2"
)

// arrowBatches are the engine's own batches, without a copy.
type arrowBatches struct {
	ctx    context.Context
	s      *session
	reader array.RecordReader
}

func (s *session) batches(ctx context.Context, body string) (Batches, error) {
	var reader array.RecordReader
	err := s.conn.Raw(func(c any) error {
		a, err := duckdb.NewArrowFromConn(c.(driver.Conn))
		if err != nil {
			return err
		}
		reader, err = a.QueryContext(ctx, body)
		return err
	})
	if err != nil {
		return nil, engineError(ctx, err)
	}
	return &arrowBatches{ctx: ctx, s: s, reader: reader}, nil
}

func (b *arrowBatches) Schema() *arrow.Schema { return b.reader.Schema() }

func (b *arrowBatches) Next() (arrow.RecordBatch, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, context.Cause(b.ctx)
	}
	if !b.reader.Next() {
		if err := b.reader.Err(); err != nil {
			return nil, engineError(b.ctx, err)
		}
		return nil, io.EOF
	}
	batch := b.reader.RecordBatch()
	batch.Retain()
	return batch, nil
}

func (b *arrowBatches) Close() error {
	if b.reader == nil {
		return nil
	}
	b.reader.Release()
	b.reader = nil
	b.s.close()
	return nil
}
