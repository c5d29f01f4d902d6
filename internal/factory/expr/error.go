package expr

import "fmt"

// CodeInvalidTemplate is the code that the service gives to every fault of an expression.
const CodeInvalidTemplate = "InvalidTemplate"

// Error is a fault of an expression. Message has the service's words where people match on them. Offset is the byte
// offset in the text of the expression.
type Error struct {
	Code    string
	Message string
	Offset  int
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

func errorf(offset int, format string, args ...any) *Error {
	return &Error{Code: CodeInvalidTemplate, Message: fmt.Sprintf(format, args...), Offset: offset}
}
