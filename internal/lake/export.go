package lake

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
)

// Batches are the rows of a query as Arrow record batches. Next returns io.EOF after the last; the caller releases
// each batch. Close may be called at any time and ends the query.
type Batches interface {
	Schema() *arrow.Schema
	Next() (arrow.RecordBatch, error)
	Close() error
}

// Export runs one SELECT, or reads the table zone.table, and hands the rows out as they come. Text, numbers, booleans,
// dates and decimals are Arrow's own types, a timestamp is in microseconds UTC.
func (l *Lake) Export(ctx context.Context, textOrTable string, params ...Param) (Batches, error) {
	s, body, err := l.prepare(ctx, textOrTable, params)
	if err != nil {
		return nil, err
	}
	b, err := s.batches(ctx, body)
	if err != nil {
		s.close()
		return nil, err
	}
	return b, nil
}
