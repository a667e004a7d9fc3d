//! Functions of the base of the operator interface, with the vendor's names, signatures and rules (operator interface documents).
//!
//! Safety: every function has the contract of the vendor's function of that name.
#![allow(non_snake_case, reason = "the vendor's names")]
#![allow(clippy::missing_safety_doc, reason = "the contract of each function is the vendor's, as the module says")]
#![allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]

use crate::abi::c_type::CChar;
use crate::abi::constants::*;
use crate::abi::types::*;
use crate::books::{books, call, handle};
use crate::executor;
use crate::fault::{Answer, broken, code, refuse};
use crate::tensor::{Object, Tensor};
use std::ffi::c_void;
use std::sync::Arc;

fn sizes(values: *const i64, count: u64, what: &str) -> Answer<Vec<usize>> {
    if values.is_null() {
        return broken("null", code::NN_NULL, format!("null {what}"));
    }
    // SAFETY: the caller's array.
    let values = unsafe { std::slice::from_raw_parts(values, count as usize) };
    match values.iter().map(|&v| usize::try_from(v)).collect() {
        Ok(values) => Ok(values),
        Err(_) => broken("tensor shape", code::NN_PARAM, format!("{what} {values:?} are negative")),
    }
}

fn keep(object: Object) -> u64 {
    let made = handle();
    books().objects.insert(made, Arc::new(object));
    made
}

fn list<T: Copy>(values: *const T, count: u64) -> Vec<T> {
    match values.is_null() || count == 0 {
        true => Vec::new(),
        // SAFETY: the caller's array.
        false => unsafe { std::slice::from_raw_parts(values, count as usize) }.to_vec(),
    }
}

fn drop_object(name: &str, object: u64) -> i32 {
    call(name, || match books().objects.remove(&object) {
        Some(_) => Ok(()),
        None => broken("handles", code::NN_PARAM, "an object was destroyed that is not alive"),
    })
}

/// Makes a tensor.
pub unsafe fn aclCreateTensor(
    view_dims: *const i64,
    view_dims_num: u64,
    data_type: aclDataType,
    stride: *const i64,
    offset: i64,
    format: aclFormat,
    storage_dims: *const i64,
    storage_dims_num: u64,
    tensor_data: *mut c_void,
) -> *mut aclTensor {
    let mut made = 0;
    call("aclCreateTensor", || {
        let dims = sizes(view_dims, view_dims_num, "dimensions")?;
        let strides = match stride.is_null() {
            true => dims
                .iter()
                .rev()
                .scan(1, |step, &n| {
                    let now = *step;
                    *step *= n;
                    Some(now)
                })
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect(),
            false => sizes(stride, view_dims_num, "strides")?,
        };
        let storage = sizes(storage_dims, storage_dims_num, "storage dimensions")?.iter().product();
        let Ok(offset) = usize::try_from(offset) else {
            return broken("tensor shape", code::NN_PARAM, "a negative offset");
        };
        if dims.len() > 8 {
            return broken("tensor shape", code::NN_PARAM, "more than 8 dimensions");
        }
        made = handle();
        let tensor = Tensor { dims, strides, offset, kind: data_type, format, storage, addr: tensor_data as u64 };
        books().tensors.insert(made, Arc::new(tensor));
        Ok(())
    });
    made as *mut aclTensor
}

/// Makes a scalar; the value is copied.
pub unsafe fn aclCreateScalar(value: *mut c_void, data_type: aclDataType) -> *mut aclScalar {
    // SAFETY: the caller's value has the type that it names.
    let (real, whole) = unsafe {
        match data_type.0 {
            0 => {
                let v = value.cast::<f32>().read_unaligned();
                (v as f64, v as i64)
            }
            11 => {
                let v = value.cast::<f64>().read_unaligned();
                (v, v as i64)
            }
            3 => {
                let v = value.cast::<i32>().read_unaligned();
                (v as f64, v as i64)
            }
            9 => {
                let v = value.cast::<i64>().read_unaligned();
                (v as f64, v)
            }
            12 | 4 => {
                let v = value.cast::<u8>().read();
                (v as f64, v as i64)
            }
            2 => {
                let v = value.cast::<i8>().read();
                (v as f64, v as i64)
            }
            _ => return std::ptr::null_mut(),
        }
    };
    call("aclCreateScalar", || Ok(()));
    keep(Object::Scalar(data_type, real, whole)) as *mut aclScalar
}

/// Makes an array.
pub unsafe fn aclCreateIntArray(value: *const i64, size: u64) -> *mut aclIntArray {
    keep(Object::Ints(list(value, size))) as *mut aclIntArray
}

/// Makes an array.
pub unsafe fn aclCreateFloatArray(value: *const f32, size: u64) -> *mut aclFloatArray {
    keep(Object::Floats(list(value, size))) as *mut aclFloatArray
}

/// Makes an array.
pub unsafe fn aclCreateBoolArray(value: *const bool, size: u64) -> *mut aclBoolArray {
    keep(Object::Bools(list(value, size))) as *mut aclBoolArray
}

/// Makes a list, which owns its tensors from now on.
pub unsafe fn aclCreateTensorList(value: *const *const aclTensor, size: u64) -> *mut aclTensorList {
    keep(Object::List(list(value, size).into_iter().map(|t| t as u64).collect())) as *mut aclTensorList
}

/// Forgets a tensor.
pub unsafe fn aclDestroyTensor(tensor: *const aclTensor) -> aclnnStatus {
    call("aclDestroyTensor", || match books().tensors.remove(&(tensor as u64)) {
        Some(_) => Ok(()),
        None => broken("handles", code::NN_PARAM, "a tensor was destroyed that is not alive"),
    })
}

/// Forgets a scalar.
pub unsafe fn aclDestroyScalar(scalar: *const aclScalar) -> aclnnStatus {
    drop_object("aclDestroyScalar", scalar as u64)
}

/// Forgets an array.
pub unsafe fn aclDestroyIntArray(array: *const aclIntArray) -> aclnnStatus {
    drop_object("aclDestroyIntArray", array as u64)
}

/// Forgets an array.
pub unsafe fn aclDestroyFloatArray(array: *const aclFloatArray) -> aclnnStatus {
    drop_object("aclDestroyFloatArray", array as u64)
}

/// Forgets an array.
pub unsafe fn aclDestroyBoolArray(array: *const aclBoolArray) -> aclnnStatus {
    drop_object("aclDestroyBoolArray", array as u64)
}

/// Forgets a list and its tensors.
pub unsafe fn aclDestroyTensorList(array: *const aclTensorList) -> aclnnStatus {
    call("aclDestroyTensorList", || {
        let list = books().objects.remove(&(array as u64));
        let Some(Object::List(tensors)) = list.as_deref() else {
            return broken("handles", code::NN_PARAM, "a list was destroyed that is not alive");
        };
        let mut books = books();
        let gone = tensors.iter().filter(|t| books.tensors.remove(t).is_none()).count();
        drop(books);
        match gone {
            0 => Ok(()),
            _ => broken("handles", code::NN_PARAM, "a list was destroyed after its tensors: it owns them"),
        }
    })
}

/// Refused for all: a client must go on without.
pub unsafe fn aclSetAclOpExecutorRepeatable(_executor: *mut aclOpExecutor) -> aclnnStatus {
    call("aclSetAclOpExecutorRepeatable", || refuse(code::NN_INNER, "this operator cannot be repeated"))
}

/// Forgets an executor that was not used.
pub unsafe fn aclDestroyAclOpExecutor(executor: *mut aclOpExecutor) -> aclnnStatus {
    call("aclDestroyAclOpExecutor", || executor::forget(executor as u64))
}

macro_rules! absent {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        /// Not here: no executor is repeatable.
        pub unsafe fn $name($($arg: $ty),*) -> aclnnStatus {
            $(let _ = $arg;)*
            call(stringify!($name), || refuse(code::UNSUPPORTED, "the stand-in does not have this function"))
        }
    )*};
}

absent! {
    aclSetTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void);
    aclSetInputTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void);
    aclSetOutputTensorAddr(executor: *mut aclOpExecutor, index: usize, tensor: *mut aclTensor, addr: *mut c_void);
    aclSetDynamicTensorAddr(executor: *mut aclOpExecutor, ir_index: usize, relative_index: usize, tensors: *mut aclTensorList, addr: *mut c_void);
    aclGetRawTensorAddr(tensor: *const aclTensor, addr: *mut *mut c_void);
    aclSetRawTensorAddr(tensor: *mut aclTensor, addr: *mut c_void);
    aclnnInit(config_path: *const CChar);
    aclnnFinalize();
}
