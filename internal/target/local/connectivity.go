package local

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/featurestore"
)

// connectivityTable is where the test writes. Nobody is granted its schema, so no reader meets it.
var connectivityTable = featurestore.Target{Schema: "connectivity", Table: "test"}

// connectivityRows is the small table of the test (spec 02-layers, "connectivity test").
const connectivityRows = "id,word\n1,pipelines\n2,reach\n3,the feature store\n"

// connectivityKeeper proves, whenever something that matters to it was deployed, that what pipelines write with reaches the
// feature store: it signs in as their identity, publishes a few rows and reads them back.
type connectivityKeeper struct{ *Host }

func (k connectivityKeeper) ensure(ctx context.Context, _ flowehr.Resource, _ apply.Inputs) error {
	store, err := k.featureStore(ctx)
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(strings.NewReader(connectivityRows)).ReadAll()
	if err != nil {
		return err
	}
	batch := textBatch(rows)
	defer batch.Release()
	_, err = store.Publish(ctx, connectivityTable, &oneBatch{batch: batch}, featurestore.PublishOptions{Pipeline: "connectivity test", By: k.Who}, nil)
	if err != nil {
		return fmt.Errorf("pipelines cannot write to the feature store: %w", err)
	}
	read, err := store.Preview(ctx, connectivityTable, len(rows), "")
	if err != nil {
		return fmt.Errorf("what pipelines write to the feature store cannot be read: %w", err)
	}
	if len(read.Rows) != len(rows)-1 {
		return fmt.Errorf("pipelines wrote %d rows to the feature store, %d are there", len(rows)-1, len(read.Rows))
	}
	return nil
}

func (k connectivityKeeper) outputs(flowehr.Resource) (map[string]string, error) { return nil, nil }

func (k connectivityKeeper) exists(ctx context.Context, _ flowehr.Resource) (bool, error) {
	there, err := k.databaseExists(ctx, storeDatabase)
	if err != nil || !there {
		return false, err
	}
	store, err := k.featureStore(ctx)
	if err != nil {
		return false, err
	}
	_, err = store.Table(ctx, connectivityTable)
	if errors.Is(err, featurestore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// remove has nothing to do: the table goes with the feature store.
func (k connectivityKeeper) remove(context.Context, flowehr.Resource) error { return nil }

// textBatch makes a batch of text columns; the first row names them.
func textBatch(rows [][]string) arrow.RecordBatch {
	var fields []arrow.Field
	for _, name := range rows[0] {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String})
	}
	b := array.NewRecordBuilder(arrowmemory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, row := range rows[1:] {
		for i, cell := range row {
			b.Field(i).(*array.StringBuilder).Append(cell)
		}
	}
	return b.NewRecordBatch()
}

// oneBatch is a stream of a single batch, which stays its maker's.
type oneBatch struct {
	batch arrow.RecordBatch
	read  bool
}

// Schema describes the batch.
func (o *oneBatch) Schema() *arrow.Schema { return o.batch.Schema() }

// Next returns the batch once.
func (o *oneBatch) Next() (arrow.RecordBatch, error) {
	if o.read {
		return nil, io.EOF
	}
	o.read = true
	return o.batch, nil
}

// Close does nothing.
func (o *oneBatch) Close() error { return nil }
