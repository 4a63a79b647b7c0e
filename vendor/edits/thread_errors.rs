use super::{Change, Edit, Put};

// The last error of a thread is a C++ object with a destructor. What is destroyed after it, such as a thread-local of the
// application that holds a socket, still calls libsrt: each call that fails then writes to strings that are no more.
//
// With this edit the object goes after all destructors of the thread's variables, and is made anew for who comes even later.
pub(crate) const EDIT: Edit = Edit {
    name: "thread-errors",
    changes: &[
        Change {
            file: "srtcore/sync_cxx11.cpp",
            anchor: "static thread_local srt::CUDTException s_thErr;",
            put: Put::Replace,
            text: ERROR,
        },
        Change {
            file: "srtcore/sync_cxx11.cpp",
            anchor: "s_thErr = e;",
            put: Put::Replace,
            text: "errorOfThread() = e;",
        },
        Change {
            file: "srtcore/sync_cxx11.cpp",
            anchor: "return s_thErr;",
            put: Put::Replace,
            text: "return errorOfThread();",
        },
    ],
};

const ERROR: &str = r#"#include <pthread.h>

static thread_local srt::CUDTException* t_error = NULL;

static void endError(void* error)
{
    t_error = NULL;
    delete static_cast<srt::CUDTException*>(error);
}

static srt::CUDTException& errorOfThread()
{
    static pthread_key_t key;
    static const bool    has_key = pthread_key_create(&key, endError) == 0;
    if (!t_error)
    {
        t_error = new srt::CUDTException;
        // Where this fails, the object outlives the thread.
        if (has_key)
            pthread_setspecific(key, t_error);
    }
    return *t_error;
}"#;
