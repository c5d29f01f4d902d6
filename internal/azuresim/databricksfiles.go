package azuresim

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dbfsFile is a file of a workspace's file system. Folders are where files are.
type dbfsFile struct {
	Data    []byte    `json:"data"`
	Folder  bool      `json:"folder,omitempty"`
	Changed time.Time `json:"changed"`
}

// dbfsStream is a file that is being written.
type dbfsStream struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// dbfsBlock is the most that one call carries (docs.databricks.com/api/azure/workspace/dbfs).
const dbfsBlock = 1 << 20

// dbfsBody is what calls about files tell.
type dbfsBody struct {
	Path      string `json:"path"`
	Overwrite bool   `json:"overwrite"`
	Recursive bool   `json:"recursive"`
	Handle    int64  `json:"handle"`
	Data      string `json:"data"`
	Contents  string `json:"contents"`
}

func (c *brickCall) file() (dbfsBody, *answer) {
	var body dbfsBody
	if c.Method == http.MethodGet {
		body.Path = c.Query.Get("path")
	} else if err := c.decode(&body); err != nil {
		a := badBrick("The body is not JSON.")
		return body, &a
	}
	body.Path = strings.TrimPrefix(body.Path, "dbfs:")
	if body.Path != "/" {
		body.Path = strings.TrimRight(body.Path, "/")
	}
	if body.Handle == 0 && !strings.HasPrefix(body.Path, "/") {
		a := badBrick("Path must be absolute: %s", body.Path)
		return body, &a
	}
	return body, nil
}

func noFile(path string) answer {
	return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "No file or directory exists on path %s.", path)
}

// block decodes what one call carries.
func block(text string) ([]byte, *answer) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		a := badBrick("The data is not in base64.")
		return nil, &a
	}
	if len(data) > dbfsBlock {
		a := brick(http.StatusBadRequest, "MAX_BLOCK_SIZE_EXCEEDED", "The block is larger than 1 MB.")
		return nil, &a
	}
	return data, nil
}

func (c *brickCall) free(body dbfsBody) *answer {
	have := c.ws.Files[body.Path]
	if have == nil && !c.folder(body.Path) || have != nil && !have.Folder && body.Overwrite {
		return nil
	}
	a := brick(http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", "A file or directory already exists at the input path %s.", body.Path)
	return &a
}

func (c *brickCall) folder(path string) bool {
	if path == "/" {
		return true
	}
	if f := c.ws.Files[path]; f != nil {
		return f.Folder
	}
	for name := range c.ws.Files {
		if strings.HasPrefix(name, path+"/") {
			return true
		}
	}
	return false
}

func (c *brickCall) putFile() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	if refused := c.free(body); refused != nil {
		return *refused
	}
	data, refused := block(body.Contents)
	if refused != nil {
		return *refused
	}
	c.ws.Files[body.Path] = &dbfsFile{Data: data, Changed: c.d.w.now()}
	return ok(object{})
}

func (c *brickCall) openFile() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	if refused := c.free(body); refused != nil {
		return *refused
	}
	c.ws.Serial++
	c.ws.Streams[c.ws.Serial] = &dbfsStream{Path: body.Path}
	return ok(object{"handle": c.ws.Serial})
}

func (c *brickCall) stream() (dbfsBody, *dbfsStream, *answer) {
	body, refused := c.file()
	if refused != nil {
		return body, nil, refused
	}
	s := c.ws.Streams[body.Handle]
	if s == nil {
		a := brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "No stream with handle %d.", body.Handle)
		return body, nil, &a
	}
	return body, s, nil
}

func (c *brickCall) addBlock() answer {
	body, s, refused := c.stream()
	if refused != nil {
		return *refused
	}
	data, refused := block(body.Data)
	if refused != nil {
		return *refused
	}
	s.Data = append(s.Data, data...)
	return ok(object{})
}

// closeFile makes what was written visible.
func (c *brickCall) closeFile() answer {
	body, s, refused := c.stream()
	if refused != nil {
		return *refused
	}
	delete(c.ws.Streams, body.Handle)
	c.ws.Files[s.Path] = &dbfsFile{Data: s.Data, Changed: c.d.w.now()}
	return ok(object{})
}

func (c *brickCall) makeFolder() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	if f := c.ws.Files[body.Path]; f != nil && !f.Folder {
		return brick(http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", "A file exists at %s.", body.Path)
	}
	c.ws.Files[body.Path] = &dbfsFile{Folder: true, Changed: c.d.w.now()}
	return ok(object{})
}

func (c *brickCall) deleteFile() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	within := slices.DeleteFunc(slices.Collect(maps.Keys(c.ws.Files)), func(name string) bool { return !strings.HasPrefix(name, body.Path+"/") })
	if len(within) > 0 && !body.Recursive {
		return brick(http.StatusBadRequest, "IO_ERROR", "%s is a non-empty directory and recursive is false.", body.Path)
	}
	delete(c.ws.Files, body.Path)
	for _, name := range within {
		delete(c.ws.Files, name)
	}
	return ok(object{})
}

func (c *brickCall) describeFile(path string) object {
	f := c.ws.Files[path]
	if f == nil || f.Folder {
		return object{"path": path, "is_dir": true, "file_size": 0}
	}
	return object{"path": path, "is_dir": false, "file_size": len(f.Data), "modification_time": f.Changed.UnixMilli()}
}

func (c *brickCall) fileStatus() answer {
	body, refused := c.file()
	switch {
	case refused != nil:
		return *refused
	case c.ws.Files[body.Path] == nil && !c.folder(body.Path):
		return noFile(body.Path)
	}
	return ok(c.describeFile(body.Path))
}

func (c *brickCall) listFiles() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	if f := c.ws.Files[body.Path]; f != nil && !f.Folder {
		return ok(object{"files": []object{c.describeFile(body.Path)}})
	}
	if !c.folder(body.Path) {
		return noFile(body.Path)
	}
	children := map[string]bool{}
	for name := range c.ws.Files {
		if rest, inside := strings.CutPrefix(name, strings.TrimRight(body.Path, "/")+"/"); inside {
			child, _, _ := strings.Cut(rest, "/")
			children[strings.TrimRight(body.Path, "/")+"/"+child] = true
		}
	}
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		out = append(out, c.describeFile(name))
	}
	return ok(object{"files": out})
}

func (c *brickCall) readFile() answer {
	body, refused := c.file()
	if refused != nil {
		return *refused
	}
	f := c.ws.Files[body.Path]
	if f == nil || f.Folder {
		return noFile(body.Path)
	}
	offset, length := 0, dbfsBlock/2
	for name, into := range map[string]*int{"offset": &offset, "length": &length} {
		if text := c.Query.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return badBrick("%s must be a number.", name)
			}
			*into = n
		}
	}
	if length > dbfsBlock {
		return brick(http.StatusBadRequest, "MAX_READ_SIZE_EXCEEDED", "The read is larger than 1 MB.")
	}
	from := min(offset, len(f.Data))
	part := f.Data[from:min(from+length, len(f.Data))]
	return ok(object{"bytes_read": len(part), "data": base64.StdEncoding.EncodeToString(part)})
}
