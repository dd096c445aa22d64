package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/casaeureka/psw-ha/pkg/ha"
)

// operationsMax is how many operations that ended are kept: an account of the last months,
// at a few kilobytes each.
const operationsMax = 100

// Operations returns the stored operations by ID, ended ones included. The slice is
// shared: callers must not change it.
func (s *Store) Operations() []ha.Operation { return s.memory.Load().operations }

// Operations returns the operations as they are in this transaction, by ID.
func (t *Tx) Operations() []ha.Operation { return t.memory.operations }

// CreateOperation stores a new operation under a new ID, which it returns with it. IDs sort
// by time. Conflict if another one is open: two that change the cluster at once would each
// plan from a world the other is changing.
func (t *Tx) CreateOperation(o ha.Operation) (ha.Operation, error) {
	for _, other := range t.memory.operations {
		if !other.Closed() {
			return ha.Operation{}, ha.Errorf(ha.Conflict, "%s of %s is under way, %s", other.Kind, other.Subject(), other.ID)
		}
	}
	for at := o.RequestedAt.UTC(); ; at = at.Add(time.Millisecond) {
		o.ID = at.Format("20060102T150405.000Z") + "-" + string(o.Kind)
		if _, taken := t.findOperation(o.ID); !taken {
			break
		}
	}
	if err := t.forgetOldestOperation(); err != nil {
		return ha.Operation{}, err
	}
	return t.putOperation(o)
}

// AmendOperation is how every change of a stored operation is made, as Amend is for
// maintenances. NotFound if there is none of that ID.
func (t *Tx) AmendOperation(id string, fn func(ha.Operation) (ha.Operation, error)) (ha.Operation, error) {
	k, ok := t.findOperation(id)
	if !ok {
		return ha.Operation{}, ha.Errorf(ha.NotFound, "there is no operation %s", id)
	}
	before := t.memory.operations[k]
	after, err := fn(before.Clone())
	if err != nil {
		return ha.Operation{}, err
	}
	if after.ID != before.ID || after.Kind != before.Kind {
		return ha.Operation{}, ha.Errorf(ha.Internal, "operation %s would become %s, %s", id, after.ID, after.Kind)
	}
	return t.putOperation(after)
}

// putOperation stores o and returns it as it will be read back.
func (t *Tx) putOperation(o ha.Operation) (ha.Operation, error) {
	b := t.tx.Bucket(bucketOperations)
	changed, err := put(b, []byte(o.ID), o)
	if err != nil {
		return ha.Operation{}, fmt.Errorf("store operation %s: %w", o.ID, err)
	}
	var stored ha.Operation
	if _, err := get(b, []byte(o.ID), &stored); err != nil {
		return ha.Operation{}, fmt.Errorf("store operation %s: %w", o.ID, err)
	}
	if !changed {
		return stored, nil
	}
	t.dirty = true
	list := slices.Clone(t.memory.operations)
	if k, ok := t.findOperation(o.ID); ok {
		list[k] = stored
	} else {
		list = slices.Insert(list, k, stored)
	}
	t.memory.operations = list
	return stored.Clone(), nil
}

func (t *Tx) forgetOldestOperation() error {
	if len(t.memory.operations) < operationsMax {
		return nil
	}
	oldest := 0
	if kept, _ := ha.Kept(t.memory.operations); kept.ID == t.memory.operations[0].ID {
		oldest = 1 // what was applied last, and whether it is kept, is no history
	}
	id := t.memory.operations[oldest].ID
	t.memory.operations = slices.Delete(slices.Clone(t.memory.operations), oldest, oldest+1)
	t.dirty = true
	return t.tx.Bucket(bucketOperations).Delete([]byte(id))
}

func (t *Tx) findOperation(id string) (int, bool) {
	return slices.BinarySearchFunc(t.memory.operations, id, func(o ha.Operation, id string) int { return strings.Compare(o.ID, id) })
}

// readOperations decodes the bucket.
func readOperations(tx *bolt.Tx) (list []ha.Operation, err error) {
	err = tx.Bucket(bucketOperations).ForEach(func(key, value []byte) error {
		var one ha.Operation
		if err := json.Unmarshal(value, &one); err != nil {
			return fmt.Errorf("decode operation %s: %w", key, err)
		}
		list = append(list, one)
		return nil
	})
	return list, err
}
